import { isRecord } from './value.js';

const MARK_ROOM = 32;

/**
 * The result of a command of which only the beginning is there: as a handler returns it, and as JSON and CBOR carry it.
 * In text and as plain bytes it is the beginning and a {@link cutMark}.
 */
export interface CutResult {
  readonly cut: true;
  /** Size of the whole. */
  readonly bytes: number;
  readonly head: string | Uint8Array;
}

/** Tells whether a handler's result is a {@link CutResult}, and nothing besides. */
export function isCutResult(result: unknown): result is CutResult {
  if (!isRecord(result) || result['cut'] !== true || Object.keys(result).length !== 3) return false;
  const { bytes, head } = result;
  return typeof bytes === 'number' && (typeof head === 'string' || head instanceof Uint8Array);
}

/** Returns the beginning with its mark, as text or bytes. */
export const markedHead = ({ head, bytes }: CutResult): string | Buffer =>
  typeof head === 'string' ? head + cutMark(bytes) : Buffer.concat([head, Buffer.from(cutMark(bytes))]);

/** Returns the longest head of `text` whose UTF-8 form has at most `limit` bytes; no character is split. */
export function utf8Head(text: string, limit: number): string {
  if (text.length <= limit / 3) return text;
  const bytes = Buffer.from(text);
  return bytes.length <= limit ? text : bytes.toString('utf8', 0, characterStart(bytes, limit));
}

/** Returns the longest tail of UTF-8 bytes with at most `limit` bytes; no character is split. */
export function utf8Tail(bytes: Buffer, limit: number): string {
  let start = Math.max(0, bytes.length - limit);
  while (start < bytes.length && isContinuation(bytes[start])) start++;
  return bytes.toString('utf8', start);
}

/** Returns bytes as text without a character that is cut at the end, or the bytes when they are not UTF-8. */
export function textHead(bytes: Buffer): string | Buffer {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: true });
  } catch {
    return bytes;
  }
}

/** Returns the mark that ends a text of which only the head is there; `total` is the size of the whole in bytes. */
export const cutMark = (total: number): string => ` …[cut, ${total} bytes]`;

const CUT_MARK = / …\[cut, \d+ bytes\]$/;

/** Tells whether a text ends with a {@link cutMark}. */
export const hasCutMark = (text: string): boolean => CUT_MARK.test(text);

/**
 * Cuts bytes at `limit` and appends a mark with the length of the whole. UTF-8 is cut between two characters.
 *
 * @param limit most bytes of head and mark together; at least the mark's own length
 * @param total the whole's size when `bytes` is already only its head
 */
export function cutWithMark(bytes: Buffer, limit: number, total = bytes.length): Buffer {
  if (bytes.length <= limit && total === bytes.length) return bytes;
  const mark = Buffer.from(cutMark(total));
  const room = Math.max(0, limit - mark.length);
  const end = bytes.length <= room ? bytes.length : characterStart(bytes, room);
  return Buffer.concat([bytes.subarray(0, end), mark]).subarray(0, Math.max(limit, MARK_ROOM));
}

const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80;

/** Returns `index`, or the first byte of the character that it would split: at most 3 bytes before. */
function characterStart(bytes: Buffer, index: number): number {
  let start = index;
  while (start > 0 && start > index - 3 && isContinuation(bytes[start])) start--;
  return isContinuation(bytes[start]) ? index : start;
}
