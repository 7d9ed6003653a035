import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { request as secureRequest, Agent as TlsAgent } from 'node:https';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { messageOf } from '../../shared/errors.js';

/** The part of an HTTP response that is read; a `Response` of the Fetch standard is one. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
}

export interface HttpInit {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: URLSearchParams | null;
  /** Redirects are returned, not followed. */
  readonly redirect: 'manual';
  readonly signal: AbortSignal;
}

/** Time-out of a connection with its TLS handshake, and how long an idle one is kept, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_IDLE_MS = 4000;

const agentOptions = { keepAlive: true, timeout: KEEP_IDLE_MS } as const;
const agents = { 'http:': new PlainAgent(agentOptions), 'https:': new TlsAgent(agentOptions) };

/**
 * Sends a request as `fetch` does, as far as the API's client needs it, by `node:http`: half the CPU time and two
 * thirds of the memory at thousands of requests a second. It rejects with an error whose cause is the reason.
 */
export async function httpFetch(url: URL, { method, headers, body, signal }: HttpInit): Promise<HttpAnswer> {
  signal.throwIfAborted();
  const secure = url.protocol === 'https:';
  const form = body?.toString();
  const options = {
    method,
    agent: secure ? agents['https:'] : agents['http:'],
    signal,
    headers: {
      ...headers,
      'accept-encoding': 'gzip',
      ...(form !== undefined && {
        'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
        'content-length': Buffer.byteLength(form),
      }),
    },
  };
  const message = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = (secure ? secureRequest : plainRequest)(url, options);
    let connected = false;
    request.once('error', (error) => {
      // An aborted signal has the reason; the error only says that it was aborted.
      const cause: unknown = signal.aborted ? signal.reason : error;
      reject(new Error('the request failed', { cause: connected ? cause : new NotConnected(cause) }));
    });
    request.once('response', resolve);
    request.once('socket', (socket) => {
      connected = !socket.connecting;
      if (connected) return;
      const onTimeout = () => request.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS / 1000} s`));
      const timer = setTimeout(onTimeout, CONNECT_TIMEOUT_MS);
      socket.once('close', () => clearTimeout(timer));
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        connected = true;
        clearTimeout(timer);
      });
    });
    request.end(form);
  });
  return {
    status: message.statusCode ?? 0,
    headers: { get: (name) => headerOf(message, name) },
    body: decoded(message),
  };
}

/** The request failed before there was a connection: nothing was sent. */
class NotConnected extends Error {
  readonly syscall = 'connect';

  constructor(cause: unknown) {
    // One error for each address of the host.
    const causes: unknown[] = cause instanceof AggregateError ? cause.errors : [cause];
    super(causes.map(messageOf).join(', '), { cause });
  }
}

function headerOf({ headers }: IncomingMessage, name: string): string | null {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

function decoded(message: IncomingMessage): AsyncIterable<Uint8Array> {
  if (message.headers['content-encoding'] !== 'gzip') return message;
  // An error surfaces in the stream that is read.
  return pipeline(message, createGunzip(), () => undefined);
}
