import { once } from 'node:events';
import { createServer } from 'node:http';
import { isIPv6 } from 'node:net';
import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { webhookListener } from '../webhooks/node.js';
import type { WebhookReceiver } from '../webhooks/receiver.js';

export interface WebhookServer {
  /** The server's URL on this machine. */
  readonly url: string;
  /** Accepts no new requests, and waits for those in progress. */
  close(): Promise<void>;
}

/**
 * Starts a web server that passes every request to a receiver.
 *
 * @param port 0 takes any free one
 * @param onRefused called with the status and reason of each request that was not accepted
 * @throws SupersimError `port-in-use`, `port-forbidden`, or `bad-input` when the address is not this machine's
 */
export async function openWebhookServer(
  receiver: WebhookReceiver,
  { address, port }: { readonly address: string; readonly port: number },
  onRefused: (status: number, reason: string) => void,
): Promise<WebhookServer> {
  const receive = async (request: Request) => {
    const response = await receiver.receive(request);
    if (!response.ok) onRefused(response.status, (await response.clone().text()).trim());
    return response;
  };
  const server = createServer(webhookListener({ receive }));
  try {
    server.listen(port, address);
    await once(server, 'listening');
  } catch (error) {
    throw listenError(error, `${address}:${port}`);
  }
  const bound = server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    url: `http://${hostOf(address)}:${boundPort}/`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      await closed;
    },
  };
}

/** Returns the host that reaches a listening address: the loopback address when it listens on all. */
function hostOf(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '[::1]';
  return isIPv6(address) ? `[${address}]` : address;
}

function listenError(error: unknown, where: string): SupersimError {
  const code = systemCodeOf(error);
  if (code === 'EADDRINUSE') {
    return new SupersimError('port-in-use', `another process listens on ${where}`, { cause: error });
  }
  if (code === 'EACCES') {
    return new SupersimError('port-forbidden', `this user may not listen on ${where}`, { cause: error });
  }
  return new SupersimError('bad-input', `cannot listen on ${where}: ${messageOf(error)}`, { cause: error });
}
