import { encrypt, nonceOf } from './aead.js';
import type { RequestBinding } from './binding.js';
import type { SecurityContext } from './context.js';
import type { OscoreFields } from './option.js';
import { hasObserve, splitResponseOptions } from './option-classes.js';
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

/** Outer codes of responses, errors too: without and with Observe (RFC 8613 §4.2 and §4.1.3.5). */
const CHANGED = '2.04';
const CONTENT = '2.05';

/**
 * Protects a response (RFC 8613 §8.3).
 *
 * @param number the own sequence number, sent as Partial IV; it must not have been used before with this Sender Key. Or
 * `request-nonce`, which sends none: only one response to a request may use its nonce, and none when it may be a replay
 * @throws RangeError when it is not a sequence number
 * @throws Error when the message is already protected, has a Proxy-Uri, or is longer than a datagram
 */
export function protectResponse(
  { senderIv, senderKey }: SecurityContext,
  binding: RequestBinding,
  number: number | 'request-nonce',
  { code, options, payload }: MessageParts,
): MessageParts {
  const partialIv = number === 'request-nonce' ? undefined : partialIvOf(number);
  const nonce = partialIv === undefined ? binding.nonce : nonceOf(senderIv, partialIv);
  const { inner, outer } = splitResponseOptions(options);
  const ciphertext = encrypt(senderKey, nonce, binding.aad, formatPlaintext(code, inner, payload));
  const outerCode = hasObserve(inner) ? CONTENT : CHANGED;
  return formatProtected(outerCode, outer, { partialIv }, ciphertext);
}

/** A decrypted response. */
export interface UnprotectedResponse {
  readonly ok: true;
  readonly message: MessageParts;
  /** The peer's sequence number; undefined for a response that uses the request's nonce. */
  readonly number: number | undefined;
}

/**
 * Verifies and decrypts a response (RFC 8613 §8.4). The binding protects against replay as long as the caller accepts only
 * one response to a request (§7.4); notifications are ordered by their numbers.
 */
export function unprotectResponse(
  context: SecurityContext,
  binding: RequestBinding,
  protectedMessage: MessageParts,
): UnprotectedResponse | Refused<HeaderRefusal | DecryptionRefusal> {
  const fields = readFields(protectedMessage);
  if (typeof fields === 'string') return refused(fields);
  if (!hasResponseForm(protectedMessage, fields, binding)) return refused('malformed');
  if (!isOwnContext(context, fields.kidContext)) return refused('unknown-kid');
  const { partialIv } = fields;
  const nonce = partialIv === undefined ? binding.nonce : nonceOf(context.recipientIv, partialIv);
  const { payload: ciphertext, options: outer } = protectedMessage;
  const opening = { key: context.recipientKey, nonce, aad: binding.aad };
  const opened = open(opening, ciphertext, outer, (inner) => isResponse(inner, binding));
  if (!opened.ok) return opened;
  return { ...opened, number: partialIv === undefined ? undefined : sequenceNumberOf(partialIv) };
}

/**
 * Checks the fields that the tag does not cover: the outer code 2.05 is for Observe alone (RFC 8613 §4.2), and a response
 * has no kid, as this project does not use group communication (§5).
 */
const hasResponseForm = ({ code }: MessageParts, { kid }: OscoreFields, { observes }: RequestBinding): boolean =>
  kid === undefined && (code === CHANGED || (code === CONTENT && observes));

/**
 * A response's code is of class 2, 4 or 5 (RFC 7252 §5.2); it has Observe only when its request has it (RFC 8613
 * §4.1.3.5.2).
 */
const isResponse = ({ code, options }: MessageParts, { observes }: RequestBinding): boolean =>
  /^[245]/.test(code) && (observes || !hasObserve(options));
