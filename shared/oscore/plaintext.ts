import { type CoapMessage, formatMessage, MessageFormatError, type Option, parseMessage } from '../coap/message.js';

/**
 * A CoAP message without type, message ID and token, which OSCORE neither changes nor protects (RFC 8613 §4.2). One
 * protected response can be sent in answer to each repeat of its request, with the repeat's own.
 */
export type MessageParts = Pick<CoapMessage, 'code' | 'options' | 'payload'>;

const NOTHING = Buffer.alloc(0);
/** The header of a CoAP message without token; the plaintext takes the place of its last byte and what follows. */
const HEADER = Buffer.of(0x50, 0, 0, 0);
const CODE_AT = 1;
const PLAINTEXT_AT = HEADER.length - 1;

/**
 * Encodes the plaintext: the code, the inner options, the payload behind its marker (RFC 8613 §5.3).
 *
 * @throws Error when the message is longer than a datagram
 */
export function formatPlaintext(code: string, options: readonly Option[], payload: Buffer): Buffer {
  const bytes = formatMessage({ type: 'NON', code, messageId: 0, token: NOTHING, options, payload });
  // A plaintext is a message whose header is the code alone.
  return bytes.copyWithin(PLAINTEXT_AT, CODE_AT, CODE_AT + 1).subarray(PLAINTEXT_AT);
}

/**
 * Decodes a plaintext.
 *
 * @returns undefined when it is malformed
 */
export function parsePlaintext(plaintext: Buffer): MessageParts | undefined {
  const bytes = Buffer.allocUnsafe(PLAINTEXT_AT + plaintext.length);
  bytes.set(HEADER.subarray(0, PLAINTEXT_AT));
  bytes.set(plaintext, PLAINTEXT_AT);
  bytes.copyWithin(CODE_AT, PLAINTEXT_AT, PLAINTEXT_AT + 1);
  try {
    const { code, options, payload } = parseMessage(bytes);
    return { code, options, payload };
  } catch (error) {
    if (error instanceof MessageFormatError) return undefined;
    throw error;
  }
}
