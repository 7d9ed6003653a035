import { messageOf, SupersimError } from '../errors.js';

type Chunks = AsyncIterable<Uint8Array | string>;

/**
 * Reads a stream to its end, but not more of it than shows that it is longer than `limit` bytes.
 *
 * @param rest for a stream that is too long: `cancel` closes it, `discard` reads the rest in the background, so that
 *   its sender can read an answer
 * @returns undefined when it is longer
 * @throws (rejects) when it cannot be read to its end
 */
export async function readBody(
  stream: Chunks | null,
  limit: number,
  rest: 'cancel' | 'discard' = 'cancel',
): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = (stream ?? none())[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await reader.next();
    if (done === true) return Buffer.concat(chunks, size);
    const chunk = typeof value === 'string' ? Buffer.from(value) : value;
    size += chunk.length;
    if (size > limit) {
      if (rest === 'cancel') await reader.return?.();
      else void discard(reader);
      return undefined;
    }
    chunks.push(chunk);
  }
}

async function* none(): AsyncGenerator<never> {}

async function discard(reader: AsyncIterator<unknown>): Promise<void> {
  try {
    while ((await reader.next()).done !== true);
  } catch {
    // The rest is not needed.
  }
}

/**
 * Reads a file or standard input for a command line, as {@link readBody}.
 *
 * @param name its name in an error
 * @param remedy of the error `too-large`, instead of the code's own
 * @throws SupersimError `bad-input` when it cannot be read, `too-large` above `limit` bytes
 */
export async function readInput(stream: Chunks, name: string, limit: number, remedy?: string): Promise<Buffer> {
  const bytes = await readBody(stream, limit).catch((error: unknown) => {
    throw new SupersimError('bad-input', `${name} cannot be read: ${messageOf(error)}`, { cause: error });
  });
  if (bytes !== undefined) return bytes;
  const options = remedy === undefined ? {} : { remedy };
  throw new SupersimError('too-large', `${name} is longer than ${limit} bytes`, options);
}
