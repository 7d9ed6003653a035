import type { KeyObject } from 'node:crypto';
import { isBlockOption } from '../coap/block.js';
import type { Option } from '../coap/message.js';
import { findOption, OPTION } from '../coap/options.js';
import { AEAD, decrypt } from './aead.js';
import type { SecurityContext } from './context.js';
import { formatOscoreOption, type OscoreFields, parseOscoreOption } from './option.js';
import { joinOptions } from './option-classes.js';
import { type MessageParts, parsePlaintext } from './plaintext.js';

/**
 * Why a message is refused; in parentheses, the unprotected error that a server may send for a request (RFC 8613 §8.2).
 * - `not-oscore`: it has no OSCORE option.
 * - `malformed`: its OSCORE option, outer code or ciphertext length is invalid (4.02, `Failed to decode COSE`).
 * - `outer-block`: it has an outer Block option. Outer blocks are not supported: they are not authenticated, so anyone
 *   could make a receiver collect them without end (§4.1.3.4.2; 4.02).
 * - `unknown-kid`: its kid or kid context is not of the security context (4.01, `Security context not found`).
 * - `bad-tag`: its tag does not verify: it was changed, or belongs to another key or request (4.00, `Decryption failed`).
 * - `malformed-plaintext`: its tag verifies, but the plaintext is not a CoAP request or response.
 */
export type RefusalReason = HeaderRefusal | DecryptionRefusal;

/** Why a message is refused before it is decrypted. */
export type HeaderRefusal = 'not-oscore' | 'malformed' | 'outer-block';

/** Why a message cannot be decrypted. */
export type DecryptionRefusal = 'unknown-kid' | 'bad-tag' | 'malformed-plaintext';

export interface Refused<Reason extends RefusalReason> {
  readonly ok: false;
  readonly reason: Reason;
}

export const refused = <Reason extends RefusalReason>(reason: Reason): Refused<Reason> => ({ ok: false, reason });

/** The shortest plaintext is a code alone. */
const MIN_CIPHERTEXT_BYTES = 1 + AEAD.tagBytes;

/** Makes a protected message: the COSE header in the OSCORE option, the ciphertext as payload (RFC 8613 §6). */
export const formatProtected = (
  code: string,
  outer: readonly Option[],
  fields: OscoreFields,
  ciphertext: Buffer,
): MessageParts => ({
  code,
  options: [...outer, { number: OPTION.oscore, value: formatOscoreOption(fields) }],
  payload: ciphertext,
});

/** Reads the COSE header of a protected message (RFC 8613 §6). */
export function readFields({ options, payload }: MessageParts): OscoreFields | HeaderRefusal {
  let value: Buffer | undefined;
  for (const option of options) {
    if (isBlockOption(option)) return 'outer-block';
    if (option.number !== OPTION.oscore) continue;
    // RFC 7252 §5.4.5: a second one is treated as an unknown critical option.
    if (value !== undefined) return 'malformed';
    value = option.value;
  }
  if (value === undefined) return 'not-oscore';
  if (payload.length < MIN_CIPHERTEXT_BYTES) return 'malformed';
  return parseOscoreOption(value) ?? 'malformed';
}

/** What decrypts a message. */
export interface Opening {
  readonly key: KeyObject;
  readonly nonce: Buffer;
  readonly aad: Uint8Array;
}

/**
 * Decrypts a message, and joins its options with the outer ones (RFC 8613 §8.2, steps 5 to 7, and §8.4).
 *
 * @param isAllowed tells whether it is a message of the kind that is expected
 */
export function open(
  { key, nonce, aad }: Opening,
  ciphertext: Buffer,
  outer: readonly Option[],
  isAllowed: (inner: MessageParts) => boolean,
): { readonly ok: true; readonly message: MessageParts } | Refused<'bad-tag' | 'malformed-plaintext'> {
  const plaintext = decrypt(key, nonce, aad, ciphertext);
  if (plaintext === undefined) return refused('bad-tag');
  const inner = parsePlaintext(plaintext);
  // A message is not protected twice (§4.1.3.6).
  if (inner === undefined || findOption(inner.options, OPTION.oscore) !== undefined || !isAllowed(inner)) {
    return refused('malformed-plaintext');
  }
  const { code, options, payload } = inner;
  return { ok: true, message: { code, options: joinOptions(options, outer), payload } };
}

/** Tells whether a kid context is that of a security context, or was not sent (RFC 8613 §5.1). */
export const isOwnContext = ({ idContext }: SecurityContext, kidContext: Buffer | undefined): boolean =>
  kidContext === undefined || (idContext !== undefined && kidContext.equals(idContext));
