import { systemCodeOf } from '../../shared/errors.js';

/** Codes of errors before a connection carries its first request: connect time-outs and certificate errors. */
const BEFORE_SENDING: ReadonlySet<string | undefined> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/**
 * Tells whether `fetch` failed before any byte of the request was sent. False when that is not certain: a request that
 * was sent may have been processed.
 */
export function wasNeverSent(thrown: unknown): boolean {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  // One error for each address of the host.
  return cause instanceof AggregateError ? cause.errors.every(isBeforeSending) : isBeforeSending(cause);
}

function isBeforeSending(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const syscall = 'syscall' in error ? error.syscall : undefined;
  if (syscall === 'connect' || syscall === 'getaddrinfo') return true;
  // `fetch` refuses some ports (Fetch standard §2.9 "port blocking") without an error code.
  return BEFORE_SENDING.has(systemCodeOf(error)) || error.message === 'bad port';
}
