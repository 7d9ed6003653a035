import { isUtf8 } from 'node:buffer';
import type { Option } from './message.js';

/**
 * The options that this project reads or writes (RFC 7252 §5.10, RFC 7641 §2, RFC 7959 §2.1 and §4, RFC 8613 §2,
 * RFC 7967 §2, RFC 9175 §3).
 */
export const OPTION = {
  uriHost: 3,
  eTag: 4,
  observe: 6,
  uriPort: 7,
  oscore: 9,
  uriPath: 11,
  contentFormat: 12,
  maxAge: 14,
  uriQuery: 15,
  accept: 17,
  block2: 23,
  block1: 27,
  size2: 28,
  proxyUri: 35,
  proxyScheme: 39,
  size1: 60,
  echo: 252,
  noResponse: 258,
  requestTag: 292,
  /**
   * An option of this project, elective and without a value: the device ran the command although it could not check the
   * deadline, as its clock is not synchronised. Its number is in the experimental range (RFC 7252 §12.2).
   */
  clockUnsynchronized: 65_000,
  /**
   * Of this project too, and so are the next: with 5.03, the device could not record that it refuses the command, and a
   * late copy of it may still run. Elective, without a value.
   */
  unrecorded: 65_004,
  /** The request is a repeat of a command that was done, whose result the device no longer has. Elective, no value. */
  forgotten: 65_008,
  /**
   * In a request, without a value: asks for the identity of the device's journal. In the response: that identity, in
   * ASCII, as `format/journal-identity.ts` writes it. Elective.
   */
  journal: 65_012,
} as const;

/** Constraints on an option's value; an option that violates them is treated as unknown (RFC 7252 §5.4.3). */
interface Form {
  /** In bytes. */
  readonly least: number;
  readonly most: number;
  /** The value is a string (RFC 7252 §3.2). */
  readonly isString?: true;
  /** The option may be repeated (RFC 7252 §5.4.5, RFC 9175 §3.2). */
  readonly isRepeatable?: true;
}

/** The options that are understood (RFC 7252 §5.10). */
const FORMS: ReadonlyMap<number, Form> = new Map<number, Form>([
  [OPTION.uriHost, { least: 1, most: 255, isString: true }],
  [OPTION.eTag, { least: 1, most: 8, isRepeatable: true }],
  [OPTION.uriPort, { least: 0, most: 2 }],
  [OPTION.uriPath, { least: 0, most: 255, isString: true, isRepeatable: true }],
  [OPTION.contentFormat, { least: 0, most: 2 }],
  [OPTION.maxAge, { least: 0, most: 4 }],
  [OPTION.uriQuery, { least: 0, most: 255, isString: true, isRepeatable: true }],
  [OPTION.accept, { least: 0, most: 2 }],
  [OPTION.block2, { least: 0, most: 3 }],
  [OPTION.block1, { least: 0, most: 3 }],
  [OPTION.size2, { least: 0, most: 4 }],
  [OPTION.size1, { least: 0, most: 4 }],
  [OPTION.echo, { least: 1, most: 40 }],
  [OPTION.requestTag, { least: 0, most: 8, isRepeatable: true }],
  [OPTION.journal, { least: 0, most: 24 }],
]);

/** RFC 7252 §5.4.1: odd numbers are critical, even ones elective. */
export const isCritical = (number: number): boolean => (number & 1) === 1;

/**
 * Filters the options that a receiver can use: those that it knows, of a valid length, strings in UTF-8, and no second
 * one where only one is allowed.
 *
 * @param options in the order of their numbers, as they are in every message
 * @returns the usable options, and the number of the first critical option among the others (a reason for 4.02)
 */
export function usableOptions(options: readonly Option[]): { usable: Option[]; critical: number | undefined } {
  const usable: Option[] = [];
  let critical: number | undefined;
  let before: number | undefined;
  for (const option of options) {
    const { number } = option;
    if (isUsable(option, number === before)) usable.push(option);
    else if (isCritical(number)) critical ??= number;
    before = number;
  }
  return { usable, critical };
}

function isUsable({ number, value }: Option, isRepeated: boolean): boolean {
  const form = FORMS.get(number);
  if (form === undefined || value.length < form.least || value.length > form.most) return false;
  if (form.isString && !isUtf8(value)) return false;
  return !isRepeated || form.isRepeatable === true;
}

export const findOption = (options: readonly Option[], number: number): Buffer | undefined =>
  options.find((option) => option.number === number)?.value;

export function stringOptions(options: readonly Option[], number: number): string[] {
  const strings: string[] = [];
  for (const option of options) if (option.number === number) strings.push(option.value.toString('utf8'));
  return strings;
}

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
