import { decode } from 'cborg';
import type { CommandError, Format, Reply } from '../../../shared/command.js';
import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import { type Answer, cutJsonRpc, formatJsonRpc, type Writer } from '../../../shared/format/json-rpc.js';
import { cutTextReply, formatTextReply, markTextRepeat } from '../../../shared/format/text-reply.js';
import { isRecord, toCbor, toJson } from '../../../shared/format/value.js';
import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { internalError } from '../runner/result.js';

export const writers = {
  json: (document) => Buffer.from(toJson(document)),
  cbor: toCbor,
} satisfies Record<string, Writer>;

/**
 * Encodes the replies to one datagram in its own format, in at most `limit` bytes.
 *
 * @returns undefined when there is nothing to send
 * @throws SupersimError `bad-reply` or `reply-too-large` when a reply cannot be encoded
 */
export function encodeAnswers(
  format: Format,
  answers: readonly Answer[],
  batch: boolean,
  limit = MAX_PAYLOAD_BYTES,
): Uint8Array | undefined {
  const [first] = answers;
  if (first === undefined) return undefined;
  switch (format) {
    case 'text':
      return formatTextReply(first.id, first.reply, limit);
    case 'json':
    case 'cbor':
      return formatJsonRpc(answers, batch, writers[format], limit);
    case 'raw':
      return rawReply(first.reply, limit);
  }
}

/** A raw reply consists of the handler's bytes only; for an error, or without a result, nothing is sent. */
function rawReply(reply: Answer['reply'], limit: number): Uint8Array | undefined {
  if ('error' in reply || reply.result === undefined || reply.result === null) return undefined;
  const { result } = reply;
  if (typeof result !== 'string' && !(result instanceof Uint8Array)) {
    throw new SupersimError('bad-reply', `a raw reply is bytes or a string, not ${typeof result}`);
  }
  // A copy: the handler may use its bytes again, or have changed the object that holds them.
  const bytes = typeof result === 'string' ? Buffer.from(result) : Buffer.copyBytesFrom(result);
  if (bytes.length > limit) {
    throw new SupersimError('reply-too-large', `the raw reply has ${bytes.length} bytes, ${limit} can leave`);
  }
  return bytes;
}

/**
 * Marks the reply to a repeated command: in text by the word `repeat` before `ok` or `error`, in JSON and CBOR by a
 * member of that name. A reply without room for the mark stays as it is; one that is itself too long, as more could leave
 * when it was made, is cut.
 */
export function markRepeat(format: Format, bytes: Uint8Array, limit = MAX_PAYLOAD_BYTES): Uint8Array {
  const marked = withMark(format, bytes);
  if (marked.length <= limit) return marked;
  return bytes.length <= limit ? bytes : fitReply(format, marked, limit);
}

/** Cuts an encoded reply as `encodeAnswers` would have cut it; bytes on a raw port stay as they are. */
export function fitReply(format: Format, bytes: Uint8Array, limit: number): Uint8Array {
  if (bytes.length <= limit) return bytes;
  switch (format) {
    case 'text':
      return cutTextReply(Buffer.from(bytes), limit);
    case 'json':
      return cutJsonRpc(JSON.parse(Buffer.from(bytes).toString()), writers.json, limit);
    case 'cbor':
      return cutJsonRpc(decodeReply(bytes), writers.cbor, limit);
    case 'raw':
      return bytes;
  }
}

function withMark(format: Format, bytes: Uint8Array): Uint8Array {
  switch (format) {
    case 'text':
      return markTextRepeat(bytes);
    case 'json':
      return writers.json(mark(JSON.parse(Buffer.from(bytes).toString())));
    case 'cbor':
      return writers.cbor(mark(decodeReply(bytes)));
    case 'raw':
      return bytes;
  }
}

/** Decodes a reply of our own, which may contain what a request may not. */
const decodeReply = (bytes: Uint8Array): unknown => decode(bytes, { allowBigInt: true });

function mark(document: unknown): unknown {
  if (Array.isArray(document)) return document.map(mark);
  return isRecord(document) ? { ...document, repeat: true } : document;
}

/** Returns the reply, or the error when it cannot be encoded in this format. */
export function encodableReply(
  format: Format,
  answer: { readonly id: Answer['id']; readonly reply: Reply },
  limit = MAX_PAYLOAD_BYTES,
): Reply {
  try {
    encodeAnswers(format, [answer], false, limit);
    return answer.reply;
  } catch (error) {
    return encodingError(error);
  }
}

/** Returns the error of a command whose result cannot be encoded. */
export function encodingError(error: unknown): { readonly error: CommandError } {
  const known = isSupersimError(error, 'bad-reply') || isSupersimError(error, 'reply-too-large');
  return known ? { error: { ...internalError(error).error, code: error.code } } : internalError(error);
}
