import { isUtf8 } from 'node:buffer';
import type { CommandId, Reply } from '../command.js';
import type { WireCode } from '../errors.js';
import { cutAgain, cutWithMark, hasCutMark, isCutResult } from './cut.js';
import { formatText } from './text.js';

/**
 * The grammar of a reply in text, which is written here and read here only:
 *
 *     [#ID ][repeat ][forgotten ]ok[ RESULT]
 *     [#ID ][repeat ][unrecorded ]error CODE[ MESSAGE]
 *
 * `repeat`: the device had received the same command before. `forgotten` and `unrecorded` are `forgotten: true` and
 * `recorded: false` of `Reply`.
 * RESULT may be bytes, which are written unchanged. A reply longer than its datagram, and one whose result the handler has
 * cut, ends with the cut mark of `cut.ts`.
 * The first words are `REPLY_WORDS` of `command.ts`, which no command may have as its name.
 */
export interface TextReply {
  readonly id: string;
  /** The device had received the same command before. */
  readonly repeat: boolean;
  readonly answer:
    | { readonly result: string | Buffer | undefined; readonly cut: boolean; readonly forgotten?: true }
    | { readonly error: { readonly code: string; readonly message: string }; readonly recorded?: false };
}

/**
 * Writes a reply in text. A string or bytes are written unchanged; flat arrays and objects become words and `key=value`;
 * the rest is JSON. A reply longer than `limit` bytes is cut and ends with the cut mark, which states the size of the
 * whole result, or of the whole message of an error.
 *
 * @throws SupersimError `bad-reply` when the result cannot be written
 */
export function formatTextReply(id: CommandId | undefined, reply: Reply<WireCode>, limit: number): Buffer {
  const prefix = id === undefined || id === null ? '' : `#${id} `;
  if ('error' in reply) {
    const { code, message } = reply.error;
    const word = reply.recorded === false ? 'unrecorded error' : 'error';
    return cutAfter(`${prefix}${word} ${code} `, oneLine(message), limit);
  }
  const { result } = reply;
  const head = reply.forgotten === true ? `${prefix}forgotten ok` : `${prefix}ok`;
  if (isCutResult(result)) return cutAfter(`${head} `, result.head, limit, result.bytes);
  if (result instanceof Uint8Array) return cutAfter(`${head} `, result, limit);
  const written = formatText(result);
  return cutAfter(written === '' ? head : `${head} `, written, limit);
}

/**
 * Writes a reply whose first words stay whole, and whose content is cut where both are longer than `limit` bytes.
 *
 * @param total size of the whole, where the content is only its beginning
 */
function cutAfter(words: string, content: string | Uint8Array, limit: number, total?: number): Buffer {
  if (typeof content === 'string' && total === undefined) {
    const whole = Buffer.from(words + content);
    if (whole.length <= limit) return whole;
  }
  const start = Buffer.from(words);
  return Buffer.concat([start, cutWithMark(Buffer.from(content), limit - start.length, total)]);
}

/** Returns a message without its line breaks. */
export const oneLine = (message: string) => message.replaceAll(/\s*[\r\n]+\s*/g, '; ').trim();

// Both read a byte as a character (Latin-1): a result may be bytes. So an id is every byte above the space but DEL.
const ID = /^(#[!-~\x80-\xff]+ )?/;
const REPLY = /^#([!-~\x80-\xff]+) (repeat )?(?:(forgotten )?(ok)|(unrecorded )?error)(?: |$)/;

/** The first words of a reply, which stay whole when it is cut. */
const WORDS = /^(?:#[!-~\x80-\xff]+ )?(?:repeat )?(?:(?:forgotten )?ok|(?:unrecorded )?error [!-~]+)(?: |$)/;

/** Cuts a written reply as {@link formatTextReply} would have cut it at `limit` bytes. */
export function cutTextReply(reply: Buffer, limit: number): Buffer {
  const { length = 0 } = WORDS.exec(reply.toString('latin1'))?.[0] ?? '';
  return Buffer.concat([reply.subarray(0, length), cutAgain(reply.subarray(length), limit - length)]);
}

/** Marks a written reply as the reply to a repeated command. */
export const markTextRepeat = (reply: Uint8Array): Buffer =>
  Buffer.from(Buffer.from(reply).toString('latin1').replace(ID, '$1repeat '), 'latin1');

/**
 * Reads a reply in text.
 *
 * @returns undefined for anything else, and for a reply without an id
 */
export function parseTextReply(bytes: Buffer): TextReply | undefined {
  const [head, id, repeat, forgotten, ok, unrecorded] = REPLY.exec(bytes.toString('latin1')) ?? [];
  if (head === undefined || id === undefined) return undefined;
  const body = bytes.subarray(head.length);
  const common = { id: Buffer.from(id, 'latin1').toString(), repeat: repeat !== undefined };
  if (ok !== undefined) {
    const answer = { result: resultOf(body), cut: hasCutMark(body.toString()) };
    return { ...common, answer: forgotten === undefined ? answer : { ...answer, forgotten: true } };
  }
  const [, code = '', message = ''] = /^(\S*) ?(.*)$/s.exec(body.toString()) ?? [];
  const answer = { error: { code, message } };
  return { ...common, answer: unrecorded === undefined ? answer : { ...answer, recorded: false } };
}

function resultOf(body: Buffer): string | Buffer | undefined {
  if (body.length === 0) return undefined;
  return isUtf8(body) ? body.toString() : body;
}
