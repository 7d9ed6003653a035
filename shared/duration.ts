import * as z from 'zod';

/** A length of time with its unit: `500ms`, `10s`, `2min`, `1h`. */
export type Duration = `${number}${'ms' | 's' | 'min' | 'h'}`;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 };
const DURATION = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|min|h)$/;

/**
 * Converts a duration to milliseconds.
 *
 * @throws RangeError when it is not a number with one of the units
 */
export function milliseconds(duration: string): number {
  const [, amount, unit] = DURATION.exec(duration) ?? [];
  const scale = UNITS[unit ?? ''];
  if (amount === undefined || scale === undefined) {
    throw new RangeError(`${JSON.stringify(duration)} is not a duration: write a number and ms, s, min or h`);
  }
  return Number(amount) * scale;
}

/** Makes the schema of a duration from `least` to `most`. */
export function durationSchema(least: Duration, most: Duration) {
  const inRange = (text: string) =>
    DURATION.test(text) && milliseconds(text) >= milliseconds(least) && milliseconds(text) <= milliseconds(most);
  return z.string().refine(inRange, `must be a duration from ${least} to ${most}, such as 500ms, 10s, 2min or 1h`);
}
