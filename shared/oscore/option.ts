import { MAX_ID_BYTES } from './aead.js';

/** The fields of the OSCORE option (RFC 8613 §6.1): the header of the compressed COSE object. */
export interface OscoreFields {
  /** 1 to 5 bytes. */
  readonly partialIv?: Buffer | undefined;
  /** The ID Context; it may be empty. */
  readonly kidContext?: Buffer | undefined;
  /** The Sender ID; it may be empty. */
  readonly kid?: Buffer | undefined;
}

/** RFC 8613 §2. */
const MAX_VALUE_BYTES = 255;
const MAX_PARTIAL_IV_BYTES = 5;
/** The longest kid context that fits with flags, its length byte, and the longest Partial IV and kid. */
export const MAX_KID_CONTEXT_BYTES = MAX_VALUE_BYTES - 2 - MAX_PARTIAL_IV_BYTES - MAX_ID_BYTES;
const PARTIAL_IV_LENGTH = 0x07;
const KID_FLAG = 0x08;
const KID_CONTEXT_FLAG = 0x10;
const RESERVED_FLAGS = 0xe0;

/**
 * Encodes the option's value, which is empty without fields.
 *
 * @param fields their Partial IV must have no leading zero bytes: `partialIvOf` writes none
 * @throws RangeError when the fields do not fit
 */
export function formatOscoreOption({ partialIv, kidContext, kid }: OscoreFields): Buffer {
  const ivLength = partialIv?.length ?? 0;
  const contextBytes = kidContext === undefined ? 0 : 1 + kidContext.length;
  const flags = ivLength | (kid === undefined ? 0 : KID_FLAG) | (kidContext === undefined ? 0 : KID_CONTEXT_FLAG);
  if (flags === 0) return Buffer.alloc(0);
  const length = 1 + ivLength + contextBytes + (kid?.length ?? 0);
  if (ivLength > MAX_PARTIAL_IV_BYTES || length > MAX_VALUE_BYTES) {
    throw new RangeError('the fields of the OSCORE option are too long');
  }
  const value = Buffer.allocUnsafe(length);
  value[0] = flags;
  if (partialIv !== undefined) value.set(partialIv, 1);
  if (kidContext !== undefined) {
    value[1 + ivLength] = kidContext.length;
    value.set(kidContext, 2 + ivLength);
  }
  if (kid !== undefined) value.set(kid, 1 + ivLength + contextBytes);
  return value;
}

/**
 * Decodes the option's value. Reserved flags and lengths, fields beyond the end, bytes that no flag announces, and a value
 * of zero flags, which should be empty, are malformed. A Partial IV with leading zero bytes is accepted and returned as it
 * is, as a request's tag covers it in this form (§5.4).
 *
 * @returns undefined when it is malformed
 */
export function parseOscoreOption(value: Buffer): OscoreFields | undefined {
  const flags = value[0];
  if (flags === undefined) return {};
  if (flags === 0 || (flags & RESERVED_FLAGS) !== 0 || value.length > MAX_VALUE_BYTES) return undefined;
  const ivLength = flags & PARTIAL_IV_LENGTH;
  if (ivLength > MAX_PARTIAL_IV_BYTES) return undefined;
  const ivEnd = 1 + ivLength;
  const hasContext = (flags & KID_CONTEXT_FLAG) !== 0;
  const contextEnd = hasContext ? ivEnd + 1 + (value[ivEnd] ?? 0) : ivEnd;
  if (ivEnd > value.length || contextEnd > value.length) return undefined;
  const hasKid = (flags & KID_FLAG) !== 0;
  if (!hasKid && contextEnd < value.length) return undefined;
  return {
    partialIv: ivLength === 0 ? undefined : value.subarray(1, ivEnd),
    kidContext: hasContext ? value.subarray(ivEnd + 1, contextEnd) : undefined,
    kid: hasKid ? value.subarray(contextEnd) : undefined,
  };
}
