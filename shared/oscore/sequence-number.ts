/** The highest sequence number; after it a new security context is needed (RFC 8613 §7.2.1). */
export const MAX_SEQUENCE_NUMBER = 2 ** 40 - 1;

/** Time of the clock's number 0; 40 bits last until 2059. */
const EPOCH_MS = Date.UTC(2025, 0, 1);

/** Rate of the clock's numbers, and the most that may be drawn in a second. */
export const NUMBERS_PER_SECOND = 1024;

/** Returns the lowest number that may be drawn at a time: a restored backup does not draw its numbers again. */
export const clockFloor = (unixMs: number): number =>
  Math.max(0, Math.floor((NUMBERS_PER_SECOND * (unixMs - EPOCH_MS)) / 1000));

/**
 * Draws the next sequence number: `max(last + 1, floor)`. Without both it is `unknown`, and nothing may be protected until
 * the clock is synchronised.
 *
 * @param last the number that was drawn before, for any context with this Sender Key, if there is one and it is known
 * @param floor {@link clockFloor}, if the clock is synchronised
 */
export function nextSequenceNumber(
  last: number | undefined,
  floor: number | undefined,
): number | 'exhausted' | 'unknown' {
  if (last === undefined && floor === undefined) return 'unknown';
  const number = Math.max(last === undefined ? 0 : last + 1, floor ?? 0);
  return number > MAX_SEQUENCE_NUMBER ? 'exhausted' : number;
}

/**
 * Encodes a sequence number as Partial IV: in network byte order, without leading zero bytes; 0 is one byte (RFC 8613 §5).
 *
 * @throws RangeError when it is not a sequence number
 */
export function partialIvOf(number: number): Buffer {
  if (!Number.isInteger(number) || number < 0 || number > MAX_SEQUENCE_NUMBER) {
    throw new RangeError(`${number} is not a sequence number`);
  }
  let length = 1;
  while (number >= 2 ** (8 * length)) length++;
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeUIntBE(number, 0, length);
  return bytes;
}

/**
 * Decodes a Partial IV. Leading zero bytes, which no sender may write, do not change the number, so the replay window
 * covers them.
 *
 * @param partialIv 1 to 5 bytes
 */
export const sequenceNumberOf = (partialIv: Buffer): number => partialIv.readUIntBE(0, partialIv.length);
