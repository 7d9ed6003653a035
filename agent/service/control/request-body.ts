import type { IncomingMessage } from 'node:http';
import { SupersimError } from '../../../shared/errors.js';
import { SEND_LESS } from './schema.js';

/**
 * Reads a request's body. The connection's time bounds how long that takes.
 *
 * @throws (rejects) SupersimError `too-large` when it has more bytes than that, `bad-input` when it does not come whole
 */
export function readBody(request: IncomingMessage, most: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      // The rest is read and forgotten: where it is not read, the answer may not get through.
      if (length <= most) chunks.push(chunk);
      else reject(new SupersimError('too-large', `the body has more than ${most} bytes`, { remedy: SEND_LESS }));
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('close', () => reject(new SupersimError('bad-input', 'the body did not come whole')));
  });
}
