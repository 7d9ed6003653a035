import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { WebhookReceiver } from './receiver.js';

/**
 * A receiver as a request listener of Node's HTTP server, and as a middleware of Express and its like. It must come
 * before anything that reads the body.
 */
export function webhookListener(
  receiver: Pick<WebhookReceiver, 'receive'>,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  // The process keeps its own Request and Response.
  return getRequestListener((request) => receiver.receive(request), { overrideGlobalObjects: false });
}
