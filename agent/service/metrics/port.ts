import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import { METRICS_TYPE } from '../control/schema.js';

const ADDRESS = '127.0.0.1';
/** Maximum concurrent clients; further connections are closed. */
const MAX_CONNECTIONS = 8;
/** Time limit from the connection to the last byte of the answer. */
const CONNECTION_MS = 10_000;
const MAX_HEADER_BYTES = 8192;

export interface MetricsPort {
  stop(): Promise<void>;
}

/**
 * Serves metrics on a TCP port of the loopback address. Each connection serves one request.
 *
 * @throws (rejects) SupersimError `port-in-use`, `port-forbidden`; the agent works without it
 */
export async function openMetricsPort(port: number, render: () => Promise<string>, log: Log): Promise<MetricsPort> {
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
    // The client has disconnected.
    response.on('error', () => undefined);
    answer(request, response, render).catch((error: unknown) => {
      log.error({ error: messageOf(error) }, 'metrics port: cannot render the metrics');
      response.destroy();
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.maxRequestsPerSocket = 1;
  server.on('connection', (socket) => {
    const bound = setTimeout(() => socket.destroy(), CONNECTION_MS);
    socket.once('close', () => clearTimeout(bound));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, port)));
    server.listen(port, ADDRESS, resolve);
  });
  server.removeAllListeners('error');
  server.on('error', (error) => log.warn({ error: error.message, port }, 'metrics port failed'));
  log.info({ address: ADDRESS, port }, 'serving metrics');
  return {
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  { method = '', url }: IncomingMessage,
  response: ServerResponse,
  render: () => Promise<string>,
): Promise<void> {
  const headers = { 'content-type': 'text/plain; charset=utf-8', connection: 'close' };
  if (url?.split('?', 1)[0] !== '/metrics') {
    response.writeHead(404, headers).end('Metrics are at /metrics.\n');
  } else if (method !== 'GET' && method !== 'HEAD') {
    response.writeHead(405, { ...headers, allow: 'GET, HEAD' }).end();
  } else {
    const text = await render();
    if (response.destroyed) return;
    response.writeHead(200, { ...headers, 'content-type': METRICS_TYPE, 'content-length': Buffer.byteLength(text) });
    response.end(text);
  }
}

function listenError(error: Error, port: number): Error {
  const code = systemCodeOf(error);
  const cause = { cause: error };
  if (code === 'EADDRINUSE') {
    return new SupersimError('port-in-use', `TCP ${ADDRESS}:${port} is in use by another process`, cause);
  }
  if (code === 'EACCES') {
    return new SupersimError('port-forbidden', `this user may not listen on TCP ${ADDRESS}:${port}`, cause);
  }
  return error;
}
