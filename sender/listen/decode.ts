import { findBlock } from '../../shared/coap/block.js';
import { type CoapMessage, EMPTY_CODE, parseMessage } from '../../shared/coap/message.js';
import { findOption, OPTION } from '../../shared/coap/options.js';
import { detectFormat } from '../../shared/format/detect.js';
import { parseTextReply } from '../../shared/format/text-reply.js';
import { fromCbor, isRecord } from '../../shared/format/value.js';
import { eventOf } from '../base/event-body.js';
import { errorResponse, readResult } from '../request/coap.js';

/** The format of a datagram from a device. */
export type DatagramFormat = 'coap' | 'json' | 'cbor' | 'text' | 'bytes';

/** A decoded datagram from a device. */
export type DecodedDatagram = { readonly format: DatagramFormat } & (
  | { readonly kind: 'event'; readonly event: string; readonly data?: unknown }
  | Reply
  /** CoAP: the device has received the command, and answers later. */
  | { readonly kind: 'accepted'; readonly messageId: number }
  /** Anything else: a text, a value in JSON or CBOR, or bytes. */
  | { readonly kind: 'message'; readonly value: unknown }
);

/** The answer to a command. */
interface Reply {
  readonly kind: 'reply';
  /** The command's id; in CoAP its token, in hexadecimal. */
  readonly id: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: unknown; readonly message: unknown };
  /** Set when the device says that it had received the command before. */
  readonly repeat?: boolean;
  /** Set with an error when the device could not record that it refused the command: a late copy may still run. */
  readonly recorded?: false;
  /** Set with a result when the device knows that the command was done, but no longer its result. */
  readonly forgotten?: true;
  /** CoAP: the result is only this block of the whole. */
  readonly block?: { readonly number: number; readonly more: boolean };
  /** CoAP: set when it is protected by OSCORE. Only who has sent the command can open it. */
  readonly protected?: true;
}

/** Decodes a datagram from a device; anything unknown is a message of bytes. */
export function decodeDatagram(bytes: Buffer): DecodedDatagram {
  switch (detectFormat(bytes)) {
    case 'text':
      return textReply(bytes) ?? { format: 'text', kind: 'message', value: bytes.toString('utf8') };
    case 'json':
      return fromDocument('json', bytes, () => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    case 'cbor':
      return fromDocument('cbor', bytes, () => fromCbor(bytes));
    default:
      // A text reply whose result is bytes is not detected as text.
      return coapReply(bytes) ?? textReply(bytes) ?? opaque(bytes);
  }
}

const opaque = (bytes: Buffer): DecodedDatagram => ({ format: 'bytes', kind: 'message', value: bytes });

function fromDocument(format: 'json' | 'cbor', bytes: Buffer, parse: () => unknown): DecodedDatagram {
  let value: unknown;
  try {
    value = parse();
  } catch {
    return opaque(bytes);
  }
  if (!isRecord(value)) return { format, kind: 'message', value };
  const event = eventOf(value);
  if (event !== undefined) return { format, kind: 'event', ...event };
  const { id, result, error, repeat, forgotten } = value;
  if (!('id' in value) || 'method' in value) return { format, kind: 'message', value };
  const mark = repeat === true && { repeat };
  if (isRecord(error)) return { format, kind: 'reply', id, ...rpcError(error), ...mark };
  if ('result' in value) {
    return { format, kind: 'reply', id, result, ...(forgotten === true && { forgotten }), ...mark };
  }
  return { format, kind: 'message', value };
}

/** Reads the agent's code and mark from `data`. */
function rpcError({ code, message, data }: Record<string, unknown>): Pick<Reply, 'error' | 'recorded'> {
  const { code: written, recorded } = isRecord(data) ? data : {};
  const error = { code: typeof written === 'string' ? written : code, message };
  return recorded === false ? { error, recorded } : { error };
}

function textReply(bytes: Buffer): DecodedDatagram | undefined {
  const reply = parseTextReply(bytes);
  if (reply === undefined) return undefined;
  const { id, repeat, answer } = reply;
  const head = { format: 'text', kind: 'reply', id, ...(repeat && { repeat }) } as const;
  if ('error' in answer) return { ...head, ...answer };
  const { cut: _, ...rest } = answer;
  return { ...head, ...rest };
}

function coapReply(bytes: Buffer): DecodedDatagram | undefined {
  let message: CoapMessage;
  try {
    message = parseMessage(bytes);
  } catch {
    return undefined;
  }
  const { type, code, messageId, token, options, payload } = message;
  if (code === EMPTY_CODE && type === 'ACK') return { format: 'coap', kind: 'accepted', messageId };
  if (!/^[245]/.test(code)) return undefined;
  const reply = { format: 'coap', kind: 'reply', id: token.toString('hex') } as const;
  if (findOption(options, OPTION.oscore) !== undefined) return { ...reply, protected: true };
  const block = findBlock(options, OPTION.block2);
  if (block !== undefined && block !== 'reserved' && (block.more || block.number > 0)) {
    return { ...reply, result: payload, block: { number: block.number, more: block.more } };
  }
  if (code.startsWith('2.')) {
    const forgotten = findOption(options, OPTION.forgotten) !== undefined;
    return { ...reply, result: resultOf(options, payload), ...(forgotten && { forgotten }) };
  }
  const meaning = errorResponse(code, payload);
  if (meaning.type !== 'end' || meaning.ending.outcome === 'done')
    return { format: 'coap', kind: 'accepted', messageId };
  const { error } = meaning.ending;
  const unrecorded = findOption(options, OPTION.unrecorded) !== undefined;
  return { ...reply, error: { code: error.code, message: error.message }, ...(unrecorded && { recorded: false }) };
}

function resultOf(options: CoapMessage['options'], payload: Buffer): unknown {
  try {
    return readResult(options, payload);
  } catch {
    return payload;
  }
}
