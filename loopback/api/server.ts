import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { isIPv6 } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { listenError } from '../network/listen-error.js';

/** A listening HTTP server. */
export interface HttpServer {
  /** Its base URL, without a slash at its end. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Opens the HTTP server.
 *
 * @param headers of every response: set here, as Hono makes a response anew for headers that are added to it
 * @param port 0 takes any free one
 * @throws SupersimError `port-in-use`, `port-forbidden`, or `bad-input` when the address is not this machine's
 */
export async function openServer(
  handle: (request: Request) => Response | Promise<Response>,
  headers: Readonly<Record<string, string>>,
  address: string,
  port: number,
): Promise<HttpServer> {
  // The process that embeds the loopback keeps its own Request and Response.
  const listener = getRequestListener(handle, { overrideGlobalObjects: false });
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    void listener(request, response);
  });
  try {
    server.listen(port, address);
    await once(server, 'listening');
  } catch (error) {
    throw listenError(error, `${address}:${port} (TCP)`);
  }
  const bound = server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  return { url: `http://${urlHost(address)}:${boundPort}`, close: () => closeServer(server) };
}

/** The host part of a URL for a listening address; the loopback address for one that stands for all addresses. */
function urlHost(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '[::1]';
  return isIPv6(address) ? `[${address}]` : address;
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
