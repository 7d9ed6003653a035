import { once } from 'node:events';
import { createServer } from 'node:http';
import { isIPv6 } from 'node:net';
import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { webhookListener } from '../webhooks/node.js';
import type { WebhookReceiver } from '../webhooks/receiver.js';

export interface WebhookServer {
  /** How this machine reaches it. */
  readonly url: string;
  /** Takes no new requests, and waits for those that are there. */
  close(): Promise<void>;
}

/**
 * A web server that gives all it gets to a receiver.
 *
 * @param port 0 takes any free one
 * @param refused told what was not taken, and why
 * @throws SupersimError `port-in-use`, `port-forbidden`, or `bad-input` when the address is not this machine's
 */
export async function openWebhookServer(
  receiver: WebhookReceiver,
  { address, port }: { readonly address: string; readonly port: number },
  refused: (status: number, reason: string) => void,
): Promise<WebhookServer> {
  const receive = async (request: Request) => {
    const response = await receiver.receive(request);
    if (!response.ok) refused(response.status, (await response.clone().text()).trim());
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

/** The host to reach a listening address by: this machine when it listens on all addresses. */
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
