import type { Option } from '../coap/message.js';
import { encrypt } from './aead.js';
import { makeBinding, type RequestBinding } from './binding.js';
import type { SecurityContext } from './context.js';
import { hasObserve, splitRequestOptions } from './option-classes.js';
import { formatPlaintext, type MessageParts } from './plaintext.js';
import {
  type DecryptionRefusal,
  formatProtected,
  type HeaderRefusal,
  isOwnContext,
  open,
  type Refused,
  readFields,
  refused,
} from './protected-message.js';
import { partialIvOf, sequenceNumberOf } from './sequence-number.js';

/** Outer codes of requests: without and with Observe (RFC 8613 §4.2 and §4.1.3.5). */
const POST = '0.02';
const FETCH = '0.05';

export interface RequestProtection {
  /** Sends the ID Context as kid context, which libcoap's server requires. Default: false. */
  readonly sendsKidContext?: boolean;
}

/**
 * Protects a request (RFC 8613 §8.1).
 *
 * @param number the sequence number; it must not have been used before with this Sender Key
 * @throws RangeError when it is not a sequence number
 * @throws Error when the message is already protected, has a Proxy-Uri, or is longer than a datagram
 */
export function protectRequest(
  context: SecurityContext,
  number: number,
  { code, options, payload }: MessageParts,
  { sendsKidContext = false }: RequestProtection = {},
): { readonly message: MessageParts; readonly binding: RequestBinding } {
  const { senderId, senderIv, senderKey, idContext } = context;
  const partialIv = partialIvOf(number);
  const binding = makeBinding(senderId, senderIv, partialIv, hasObserve(options));
  const { inner, outer } = splitRequestOptions(options);
  const ciphertext = encrypt(senderKey, binding.nonce, binding.aad, formatPlaintext(code, inner, payload));
  const fields = { partialIv, kidContext: sendsKidContext ? idContext : undefined, kid: senderId };
  return { message: formatProtected(binding.observes ? FETCH : POST, outer, fields, ciphertext), binding };
}

/** A protected request before it is decrypted: by its kid the caller finds the security context and replay window. */
export interface ProtectedRequest {
  readonly kid: Buffer;
  readonly kidContext: Buffer | undefined;
  /** The sequence number, which is authentic only once the request is decrypted. */
  readonly number: number;
  /** As it was sent. */
  readonly partialIv: Buffer;
  /** All options outside the ciphertext. */
  readonly outer: readonly Option[];
  readonly ciphertext: Buffer;
}

/**
 * Reads the header of a protected request (RFC 8613 §8.2, step 2). Its outer code has no meaning, but must be one that a
 * sender may write.
 */
export function parseProtectedRequest(
  message: MessageParts,
): { readonly ok: true; readonly request: ProtectedRequest } | Refused<HeaderRefusal> {
  const fields = readFields(message);
  if (typeof fields === 'string') return refused(fields);
  const { kid, kidContext, partialIv } = fields;
  const { code, options: outer, payload: ciphertext } = message;
  if (kid === undefined || partialIv === undefined || (code !== POST && code !== FETCH)) return refused('malformed');
  return { ok: true, request: { kid, kidContext, number: sequenceNumberOf(partialIv), partialIv, outer, ciphertext } };
}

/** A decrypted request, and the binding for its responses. */
export interface UnprotectedRequest {
  readonly ok: true;
  readonly message: MessageParts;
  readonly binding: RequestBinding;
}

/**
 * Verifies and decrypts a request (RFC 8613 §8.2, steps 4 to 7). The caller checks the replay window before and updates it
 * after, and may decrypt a stored request again for its binding.
 *
 * @param context the one whose Recipient ID is the request's kid
 */
export function unprotectRequest(
  context: SecurityContext,
  { kid, kidContext, partialIv, outer, ciphertext }: ProtectedRequest,
): UnprotectedRequest | Refused<DecryptionRefusal> {
  const { recipientId, recipientIv, recipientKey } = context;
  if (!kid.equals(recipientId) || !isOwnContext(context, kidContext)) return refused('unknown-kid');
  const binding = makeBinding(recipientId, recipientIv, partialIv, false);
  const opened = open({ key: recipientKey, ...binding }, ciphertext, outer, isRequest);
  if (!opened.ok) return opened;
  const { message } = opened;
  return { ok: true, message, binding: { ...binding, observes: hasObserve(message.options) } };
}

/** A request's code is of class 0 and not 0.00 (RFC 7252 §5.2). */
const isRequest = ({ code }: MessageParts): boolean => code.startsWith('0.') && code !== '0.00';
