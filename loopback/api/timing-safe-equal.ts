import { timingSafeEqual } from 'node:crypto';

/** Compares two strings in a time that does not depend on how many characters match. */
export function equalInConstantTime(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
