import { messageOf, SupersimError } from './errors.js';

/**
 * Reads a stream to its end; no more of it than it takes to know that it is too much.
 *
 * @param name what it is called in an error
 * @param remedy against there being too much
 * @throws SupersimError `bad-input` when it cannot be read, `too-large` above `most` bytes
 */
export async function readBounded(
  stream: AsyncIterable<Uint8Array | string>,
  name: string,
  most: number,
  remedy?: string,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      const bytes = Buffer.from(chunk);
      chunks.push(bytes);
      size += bytes.length;
      if (size > most) break;
    }
  } catch (error) {
    throw new SupersimError('bad-input', `${name} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  if (size <= most) return Buffer.concat(chunks);
  const options = remedy === undefined ? {} : { remedy };
  throw new SupersimError('too-large', `${name} is longer than ${most} bytes`, options);
}
