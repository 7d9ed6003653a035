import type { IncomingMessage } from 'node:http';
import { SupersimError } from '../../../shared/errors.js';
import { readBody } from '../../../shared/read-body.js';
import { SEND_LESS } from './schema.js';

/**
 * Reads a request's body. The connection's time bounds how long that takes.
 *
 * @throws (rejects) SupersimError `too-large` when it has more bytes than that, `bad-input` when it does not come whole
 */
export async function readRequestBody(request: IncomingMessage, most: number): Promise<Buffer> {
  // The rest is read and forgotten: where it is not read, the answer may not get through.
  const body = await readBody(request, most, 'discard').catch((error: unknown) => {
    throw new SupersimError('bad-input', 'the body did not come whole', { cause: error });
  });
  if (body !== undefined) return body;
  throw new SupersimError('too-large', `the body has more than ${most} bytes`, { remedy: SEND_LESS });
}
