import { isUtf8 } from 'node:buffer';
import type { Readable } from 'node:stream';
import { type CutResult, textHead } from '../../shared/format/cut.js';
import { withRoom } from '../base/memory.js';

/** How many bytes of a failed program's output are sent to the caller. */
export const ERROR_TAIL_BYTES = 400;

/** Makes a program's stdin: the parameters as one line of JSON, or a raw port's bytes. */
export const writeInput = (params: unknown): string | Uint8Array =>
  params instanceof Uint8Array ? params : `${JSON.stringify(params, asJson)}\n`;

/** Converts values that CBOR has and JSON does not. */
function asJson(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value;
}

/**
 * Makes a result from a program's output. UTF-8 becomes a string without its last line break, other output stays bytes;
 * of cut output the result says so. On a raw port all output stays bytes.
 *
 * @param kept the head of the output
 * @param total the length of the whole output
 * @throws Error when the output for a raw port was cut
 */
export function readOutput(kept: Buffer, total: number, raw: boolean): string | Buffer | CutResult {
  if (raw) {
    if (total > kept.length) throw new Error(`the program wrote ${total} bytes: too many for a raw reply`);
    return kept;
  }
  if (total > kept.length) return { cut: true, bytes: total, head: withoutLineBreak(textHead(kept)) };
  return withoutLineBreak(isUtf8(kept) ? kept.toString() : kept);
}

const withoutLineBreak = (output: string | Buffer) =>
  typeof output === 'string' ? output.replace(/\r?\n$/, '') : output;

/** Reads a stream to its end and keeps its first bytes. */
export function keepHead(stream: Readable, limit: number) {
  let memory = Buffer.alloc(0);
  let kept = 0;
  let total = 0;
  stream.on('data', (chunk: Buffer) => {
    total += chunk.length;
    if (kept === limit) return;
    const piece = chunk.subarray(0, limit - kept);
    // Not one after the other as they are: each would keep the stream's large buffer in memory.
    memory = withRoom(memory, kept + piece.length);
    memory.set(piece, kept);
    kept += piece.length;
  });
  return { bytes: () => memory.subarray(0, kept), total: () => total };
}

/** Reads a stream to its end and keeps its last bytes. */
export function keepTail(stream: Readable, limit: number) {
  let tail = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk.subarray(-limit)]).subarray(-limit);
  });
  return { bytes: () => tail };
}
