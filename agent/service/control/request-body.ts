import type { IncomingMessage } from 'node:http';
import { SupersimError } from '../../../shared/errors.js';
import { SEND_LESS } from './schema.js';

/**
 * Reads a request's body. The connection's time limit bounds the duration.
 *
 * @throws (rejects) SupersimError `too-large` when it exceeds `maxBytes`, `bad-input` when it is incomplete
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      // The rest is read and discarded: otherwise the client may not receive the answer.
      if (length <= maxBytes) chunks.push(chunk);
      else reject(new SupersimError('too-large', `the body has more than ${maxBytes} bytes`, { remedy: SEND_LESS }));
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('close', () => reject(new SupersimError('bad-input', 'the body is incomplete')));
  });
}
