import { isUtf8 } from 'node:buffer';
import type { Readable } from 'node:stream';
import { cutMark } from '../../shared/format/cut.js';

/** How much of what a failed program wrote goes back to the caller. */
export const ERROR_TAIL_BYTES = 400;

/** What a program gets on its stdin: the parameters as one line of JSON, or a raw port's bytes. */
export const writeInput = (params: unknown): string | Uint8Array =>
  params instanceof Uint8Array ? params : `${JSON.stringify(params, asJson)}\n`;

/** What CBOR has and JSON does not. */
function asJson(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value;
}

/**
 * A reply, of what a program wrote. UTF-8 becomes a string without its last line break, anything else stays bytes; what
 * was cut says so. On a raw port all are bytes.
 *
 * @param kept its head
 * @param total how much it wrote in all
 * @throws Error when a raw one was cut
 */
export function readOutput(kept: Buffer, total: number, raw: boolean): string | Buffer {
  if (raw) {
    if (total > kept.length) throw new Error(`the program wrote ${total} bytes, too many for a raw reply`);
    return kept;
  }
  const mark = total > kept.length ? cutMark(total) : '';
  const whole = trimToCharacter(kept, mark !== '');
  if (isUtf8(whole)) return whole.toString().replace(/\r?\n$/, '') + mark;
  return mark === '' ? kept : Buffer.concat([kept, Buffer.from(mark)]);
}

/** Leaves out the last few bytes of a cut text when they are a character's beginning. */
function trimToCharacter(bytes: Buffer, cut: boolean): Buffer {
  for (let drop = 0; cut && drop < 4; drop++) {
    const shorter = bytes.subarray(0, bytes.length - drop);
    if (isUtf8(shorter)) return shorter;
  }
  return bytes;
}

/** Reads a stream to its end, and keeps only so many bytes of its head. */
export function keepHead(stream: Readable, limit: number) {
  const chunks: Buffer[] = [];
  let kept = 0;
  let total = 0;
  stream.on('data', (chunk: Buffer) => {
    total += chunk.length;
    if (kept === limit) return;
    // Copied, so that a few bytes do not keep the stream's large buffer alive.
    const piece = Buffer.from(chunk.subarray(0, limit - kept));
    kept += piece.length;
    chunks.push(piece);
  });
  return { bytes: () => Buffer.concat(chunks), total: () => total };
}

/** Reads a stream to its end, and keeps only so many bytes of its tail. */
export function keepTail(stream: Readable, limit: number) {
  let tail = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk.subarray(-limit)]).subarray(-limit);
  });
  return { bytes: () => tail };
}
