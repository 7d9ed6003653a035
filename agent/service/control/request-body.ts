import type { IncomingMessage } from 'node:http';
import { SupersimError } from '../../../shared/errors.js';
import { readBody } from '../../../shared/read-body.js';
import { SEND_LESS } from './schema.js';

/**
 * Reads a request's body. The connection's time limit bounds the duration.
 *
 * @throws (rejects) SupersimError `too-large` when it exceeds `maxBytes`, `bad-input` when it is incomplete
 */
export async function readRequestBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  // The rest is read and discarded: otherwise the client may not receive the answer.
  const body = await readBody(request, maxBytes, 'discard').catch((error: unknown) => {
    throw new SupersimError('bad-input', 'the body is incomplete', { cause: error });
  });
  if (body !== undefined) return body;
  throw new SupersimError('too-large', `the body has more than ${maxBytes} bytes`, { remedy: SEND_LESS });
}
