import { isUtf8 } from 'node:buffer';
import type { Option } from './message.js';

/** The options that this project reads or writes (RFC 7252 §5.10, RFC 7959 §2.1 and §4, RFC 9175 §3). */
export const OPTION = {
  uriHost: 3,
  eTag: 4,
  uriPort: 7,
  uriPath: 11,
  contentFormat: 12,
  maxAge: 14,
  uriQuery: 15,
  accept: 17,
  block2: 23,
  block1: 27,
  size2: 28,
  size1: 60,
  requestTag: 292,
} as const;

const UNDERSTOOD: ReadonlySet<number> = new Set(Object.values(OPTION));
/** RFC 7252 §5.10: how long each option's value may be; outside it is treated like an unknown option (§5.4.3). */
const LENGTHS: ReadonlyMap<number, readonly [least: number, most: number]> = new Map([
  [OPTION.uriHost, [1, 255]],
  [OPTION.eTag, [1, 8]],
  [OPTION.uriPort, [0, 2]],
  [OPTION.uriPath, [0, 255]],
  [OPTION.contentFormat, [0, 2]],
  [OPTION.maxAge, [0, 4]],
  [OPTION.uriQuery, [0, 255]],
  [OPTION.accept, [0, 2]],
  [OPTION.block2, [0, 3]],
  [OPTION.block1, [0, 3]],
  [OPTION.size2, [0, 4]],
  [OPTION.size1, [0, 4]],
  [OPTION.requestTag, [0, 8]],
]);
/** Options whose value is a string (RFC 7252 §3.2). */
const STRINGS: ReadonlySet<number> = new Set([OPTION.uriHost, OPTION.uriPath, OPTION.uriQuery]);
/** Options that may stand more than once (RFC 7252 §5.4.5, RFC 9175 §3.2). */
const REPEATABLE: ReadonlySet<number> = new Set([OPTION.eTag, OPTION.uriPath, OPTION.uriQuery, OPTION.requestTag]);

/** RFC 7252 §5.4.1: odd numbers are critical, even ones elective. */
export const isCritical = (number: number): boolean => (number & 1) === 1;

/**
 * Sorts out what a receiver cannot use: options that it does not know, of a length that they cannot have, strings that
 * are not UTF-8, or that stand twice where they may stand once.
 *
 * @returns the usable options, and the number of the first critical one among the others (a reason for 4.02)
 */
export function usableOptions(options: readonly Option[]): { usable: Option[]; critical: number | undefined } {
  const usable: Option[] = [];
  const seen = new Set<number>();
  let critical: number | undefined;
  for (const option of options) {
    const { number, value } = option;
    const [least, most] = LENGTHS.get(number) ?? [0, 0];
    const known = UNDERSTOOD.has(number) && value.length >= least && value.length <= most;
    const readable = known && (!STRINGS.has(number) || isUtf8(value));
    if (readable && (REPEATABLE.has(number) || !seen.has(number))) usable.push(option);
    else if (isCritical(number)) critical ??= number;
    seen.add(number);
  }
  return { usable, critical };
}

export const findOption = (options: readonly Option[], number: number): Buffer | undefined =>
  options.find((option) => option.number === number)?.value;

export const stringOptions = (options: readonly Option[], number: number): string[] =>
  options.filter((option) => option.number === number).map(({ value }) => value.toString('utf8'));

export const stringOption = (number: number, text: string): Option => ({ number, value: Buffer.from(text) });

/** RFC 7252 §3.2: a uint has no leading zero bytes; 0 is empty. */
export function uintOption(number: number, value: number): Option {
  const length = Math.ceil((32 - Math.clz32(value)) / 8);
  const bytes = Buffer.allocUnsafe(length);
  if (length > 0) bytes.writeUIntBE(value, 0, length);
  return { number, value: bytes };
}

export function findUint(options: readonly Option[], number: number): number | undefined {
  const value = findOption(options, number);
  if (value === undefined) return undefined;
  return value.length === 0 ? 0 : value.readUIntBE(0, value.length);
}
