import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { readBody } from '../../../shared/async/read-body.js';
import { type ErrorCode, isSupersimError, messageOf, SupersimError } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import { findRoute } from './routes.js';
import { MAX_RESPONSE_BYTES, METRICS_TYPE, SEND_LESS } from './schema.js';
import type { ControlTarget } from './target.js';

/** Limit of the request line and the headers together. */
const MAX_HEADER_BYTES = 8192;

const STATUS_BY_CODE: Partial<Record<ErrorCode, number>> = {
  'bad-input': 400,
  'no-such-command': 404,
  'config-unreadable': 422,
  'config-invalid': 422,
  'handler-invalid': 422,
  'too-late': 409,
  'too-large': 413,
  busy: 503,
  'rate-limited': 429,
  'link-down': 503,
  'no-journal': 503,
  'no-modem': 503,
  'modem-port-lost': 503,
  'modem-silent': 504,
};

interface Answer {
  readonly status: number;
  /** An object is sent as JSON, a string as metrics. */
  readonly body: object | string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Makes an HTTP server for connections that are passed to it. Node itself answers malformed HTTP with 400 or 431. */
export function createControlServer(target: ControlTarget, log: Log): Server {
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    // The client has disconnected.
    response.on('error', () => undefined);
    answerRequest(request, target)
      .then((answer) => send(response, answer))
      .catch((error: unknown) => send(response, errorAnswer(error, log)));
  });
  server.maxRequestsPerSocket = 1;
  return server;
}

async function answerRequest(request: IncomingMessage, target: ControlTarget): Promise<Answer> {
  const { method = '', url = '' } = request;
  const { path, query } = partsOf(url);
  const route = findRoute(path);
  if (route === undefined) return { status: 404, body: problemBody('bad-input', `unknown path ${path}`) };
  const handle = route.methods.get(method);
  if (handle === undefined) {
    const allow = [...route.methods.keys()].join(', ');
    return {
      status: 405,
      body: problemBody('bad-input', `${path} does not support ${method}, only ${allow}`),
      headers: { allow },
    };
  }
  const { id, maxBody } = route;
  if (maxBody === undefined && hasBody(request)) {
    return { status: 413, body: problemBody('bad-input', `${method} ${path} does not accept a body`) };
  }
  const body = maxBody === undefined ? NO_BODY : await readRequestBody(request, maxBody);
  const type = request.headers['content-type'] ?? '';
  return { status: 200, body: await handle(target, { id, query: new URLSearchParams(query), body, type }) };
}

/**
 * Reads a request's body. The connection's time limit bounds the duration.
 *
 * @throws (rejects) SupersimError `too-large` when it exceeds `maxBytes`, `bad-input` when it is incomplete
 */
async function readRequestBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  // The rest is read and discarded: otherwise the client may not receive the answer.
  const body = await readBody(request, maxBytes, 'discard').catch((error: unknown) => {
    throw new SupersimError('bad-input', 'the body is incomplete', { cause: error });
  });
  if (body !== undefined) return body;
  throw new SupersimError('too-large', `the body has more than ${maxBytes} bytes`, { remedy: SEND_LESS });
}

const NO_BODY = Buffer.alloc(0);

/** Returns the time limit of a URL's answer; undefined for the default. */
export const answerMs = (url = ''): number | undefined => findRoute(partsOf(url).path)?.answerMs;

function partsOf(url: string): { readonly path: string; readonly query: string } {
  const [path = '', query = ''] = url.split('?', 2);
  return { path, query };
}

const hasBody = ({ headers }: IncomingMessage) =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** @throws Error when the body is not serialisable or too long */
function send(response: ServerResponse, { status, body, headers }: Answer): void {
  const [type, text] =
    typeof body === 'string' ? [METRICS_TYPE, body] : ['application/json', `${JSON.stringify(body)}\n`];
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_RESPONSE_BYTES) {
    throw new SupersimError('bad-input', `the answer has ${bytes} bytes; the limit is ${MAX_RESPONSE_BYTES}`, {
      remedy: 'Use a lower limit.',
    });
  }
  if (response.destroyed) return;
  response.writeHead(status, {
    'content-type': type,
    'content-length': bytes,
    connection: 'close',
    ...headers,
  });
  response.end(text);
}

function errorAnswer(error: unknown, log: Log): Answer {
  if (isSupersimError(error)) {
    return { status: STATUS_BY_CODE[error.code] ?? 500, body: problemBody(error.code, error.message, error.remedy) };
  }
  log.error({ error: messageOf(error) }, 'control socket: request failed');
  return { status: 500, body: problemBody('internal-error', 'the request failed; the agent’s log says why') };
}

function problemBody(code: ErrorCode, message: string, own?: string) {
  const { remedy } = new SupersimError(code, message, own === undefined ? {} : { remedy: own });
  return { code, message, remedy };
}
