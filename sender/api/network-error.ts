import { systemCodeOf } from '../../shared/errors.js';

/** Errors before a connection carries its first request: no time left to connect, and the server's certificate. */
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
 * Whether what `fetch` rejected with means that nothing left this machine but an attempt to connect.
 * Only what is certain counts: a request that was on its way may have been processed.
 */
export function neverLeft(thrown: unknown): boolean {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  // A host with several addresses: one error for each.
  return cause instanceof AggregateError ? cause.errors.every(isBeforeSending) : isBeforeSending(cause);
}

function isBeforeSending(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const syscall = 'syscall' in error ? error.syscall : undefined;
  if (syscall === 'connect' || syscall === 'getaddrinfo') return true;
  // `fetch` refuses some ports outright (Fetch standard §2.9 "port blocking"), and has no code for it.
  return BEFORE_SENDING.has(systemCodeOf(error)) || error.message === 'bad port';
}
