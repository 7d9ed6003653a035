/** Upper bound of the wait before the first retry, in milliseconds; it doubles with each retry. */
export const BACKOFF_BASE = 250;
/** Greatest upper bound, in milliseconds. */
export const BACKOFF_CAP = 8_000;
/** Longest `Retry-After` that is respected, in milliseconds. */
export const MAX_RETRY_AFTER = 60_000;

/** RFC 9110 §5.6.7, without the two obsolete forms of a date. */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
const SECONDS = /^\d{1,9}$/;

/**
 * Full-jitter exponential backoff: a random time from 0 to the doubled base, so that clients which were refused
 * together do not retry together.
 *
 * @param retry 0 for the first retry
 * @param random from 0 to below 1
 * @returns milliseconds, below {@link BACKOFF_CAP}
 */
export function fullJitter(retry: number, random: number): number {
  return random * Math.min(BACKOFF_CAP, BACKOFF_BASE * 2 ** retry);
}

/**
 * Parses a `Retry-After` header (RFC 9110 §10.2.3): seconds, or a date.
 *
 * @param now the clock, in milliseconds since 1970
 * @returns milliseconds from 0 to {@link MAX_RETRY_AFTER}; undefined without such a header, or when it is malformed
 */
export function parseRetryAfter(header: string | null, now: number): number | undefined {
  const text = header?.trim() ?? '';
  const wait = SECONDS.test(text) ? Number(text) * 1000 : HTTP_DATE.test(text) ? Date.parse(text) - now : Number.NaN;
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(0, wait), MAX_RETRY_AFTER);
}

/**
 * Returns the wait before a retry: at least what the server asked for, with jitter.
 *
 * @returns milliseconds
 */
export function retryDelay(retry: number, retryAfter: number | undefined, random: number): number {
  return (retryAfter ?? 0) + fullJitter(retry, random);
}
