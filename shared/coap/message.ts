import { generate, parse } from 'coap-packet';
import { messageOf } from '../errors.js';

export type MessageType = 'CON' | 'NON' | 'ACK' | 'RST';

export interface Option {
  /** RFC 7252 §12.2. */
  readonly number: number;
  readonly value: Buffer;
}

/** A CoAP message (RFC 7252 §3). */
export interface CoapMessage {
  readonly type: MessageType;
  /** `0.02`, `2.05`, …; `0.00` is empty. */
  readonly code: string;
  /** 0 to 65535. */
  readonly messageId: number;
  /** 0 to 8 bytes. */
  readonly token: Buffer;
  readonly options: readonly Option[];
  readonly payload: Buffer;
}

export const EMPTY_CODE = '0.00';
const NOTHING = Buffer.alloc(0);
const HEADER_BYTES = 4;
const MAX_TOKEN_BYTES = 8;
const VERSION_BITS = 0x40;
const TYPE_BITS = { CON: 0x00, NON: 0x10, ACK: 0x20, RST: 0x30 } as const;
const PAYLOAD_MARKER = 0xff;
/** The greatest size of a UDP datagram. */
export const MAX_DATAGRAM_BYTES = 65_535;

/** Makes an empty message: an acknowledgement, a reset, or (confirmable) a ping. */
export const emptyMessage = (type: MessageType, messageId: number): CoapMessage => ({
  type,
  code: EMPTY_CODE,
  messageId,
  token: NOTHING,
  options: [],
  payload: NOTHING,
});

/** A datagram is not a well-formed CoAP message (RFC 7252 §3). */
export class MessageFormatError extends Error {}

/**
 * Parses a CoAP message.
 *
 * @throws MessageFormatError
 */
export function parseMessage(bytes: Buffer): CoapMessage {
  const { code, confirmable, ack, reset, messageId, token, options, payload } = parsePacket(bytes);
  return {
    type: confirmable ? 'CON' : ack ? 'ACK' : reset ? 'RST' : 'NON',
    code,
    messageId,
    token,
    options: options.map(({ name, value }) => ({ number: optionNumber(name), value })),
    payload,
  };
}

function parsePacket(bytes: Buffer) {
  try {
    checkForm(bytes);
    return parse(bytes);
  } catch (error) {
    throw new MessageFormatError(messageOf(error), { cause: error });
  }
}

/**
 * Encodes a CoAP message; options may be in any order.
 *
 * @param maxBytes its greatest length: more than a datagram for a message that is stored and not sent
 * @throws Error when it is longer
 */
export function formatMessage(
  { type, code, messageId, token, options, payload }: CoapMessage,
  maxBytes = MAX_DATAGRAM_BYTES,
): Buffer {
  const written = writeOptions(options);
  const optionsAt = HEADER_BYTES + token.length;
  const markerAt = optionsAt + written.length;
  const length = markerAt + (payload.length === 0 ? 0 : 1 + payload.length);
  if (length > maxBytes) throw new Error(`the message has ${length} bytes`);
  const bytes = Buffer.allocUnsafe(length);
  bytes[0] = VERSION_BITS | TYPE_BITS[type] | token.length;
  bytes[1] = (Number(code[0]) << 5) | Number(code.slice(2));
  bytes.writeUInt16BE(messageId, 2);
  bytes.set(token, HEADER_BYTES);
  bytes.set(written, optionsAt);
  if (payload.length > 0) {
    bytes[markerAt] = PAYLOAD_MARKER;
    bytes.set(payload, markerAt + 1);
  }
  return bytes;
}

/** Encoded `Content-Format` options by their value of at most one byte: most responses have no other option. */
const writtenFormats = new Map<number | undefined, Buffer>();

function writeOptions(options: readonly Option[]): Buffer {
  const [first] = options;
  if (first === undefined) return NOTHING;
  if (options.length > 1 || first.number !== NUMBERS['Content-Format'] || first.value.length > 1) {
    return generateOptions(options);
  }
  const value = first.value[0];
  let written = writtenFormats.get(value);
  if (written === undefined) {
    written = generateOptions(options);
    writtenFormats.set(value, written);
  }
  return written;
}

function generateOptions(options: readonly Option[]): Buffer {
  const named = options.map(({ number, value }) => ({ name: String(number), value }));
  return generate({ options: named }, MAX_DATAGRAM_BYTES).subarray(HEADER_BYTES);
}

/** Checks what `coap-packet` does not: long tokens, options and extensions beyond the end, a marker without payload. */
function checkForm(bytes: Buffer): void {
  const tokenLength = (bytes[0] ?? 0) & 0x0f;
  if (tokenLength > MAX_TOKEN_BYTES) throw new Error('the token is longer than 8 bytes');
  let at = HEADER_BYTES + tokenLength;
  while (at < bytes.length) {
    if (bytes[at] === PAYLOAD_MARKER) {
      if (at + 1 === bytes.length) throw new Error('there is no payload after its marker');
      return;
    }
    const head = bytes[at] ?? 0;
    at += 1 + extensionBytes(head >> 4);
    const length = optionLength(bytes, head & 0x0f, at);
    at += extensionBytes(head & 0x0f) + length;
  }
  if (at > bytes.length) throw new Error('it ends before it should');
}

/** RFC 7252 §3.1: 13 and 14 announce one and two more bytes, 15 is reserved for the payload marker. */
function extensionBytes(nibble: number): number {
  if (nibble === 15) throw new Error('an option has a reserved delta or length');
  return nibble === 13 ? 1 : nibble === 14 ? 2 : 0;
}

function optionLength(bytes: Buffer, nibble: number, at: number): number {
  if (nibble < 13) return nibble;
  if (nibble === 13) return 13 + (bytes[at] ?? 0);
  return 269 + ((bytes[at] ?? 0) << 8) + (bytes[at + 1] ?? 0);
}

/** Numbers of the options that `coap-packet` names (RFC 7252 §12.2 and later ones). */
const NUMBERS = {
  'If-Match': 1,
  'Uri-Host': 3,
  ETag: 4,
  'If-None-Match': 5,
  Observe: 6,
  'Uri-Port': 7,
  'Location-Path': 8,
  OSCORE: 9,
  'Uri-Path': 11,
  'Content-Format': 12,
  'Max-Age': 14,
  'Uri-Query': 15,
  'Hop-Limit': 16,
  Accept: 17,
  'Q-Block1': 19,
  'Location-Query': 20,
  Block2: 23,
  Block1: 27,
  Size2: 28,
  'Q-Block2': 31,
  'Proxy-Uri': 35,
  'Proxy-Scheme': 39,
  Size1: 60,
  'No-Response': 258,
  'OCF-Accept-Content-Format-Version': 2049,
  'OCF-Content-Format-Version': 2053,
} as const;

const optionNumber = (name: keyof typeof NUMBERS | number): number =>
  typeof name === 'number' || !(name in NUMBERS) ? Number(name) : NUMBERS[name];
