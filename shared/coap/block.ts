import type { Option } from './message.js';
import { findUint, OPTION, uintOption } from './options.js';

/** A Block1 or Block2 option (RFC 7959 §2.2). */
export interface Block {
  /** Which block, from 0 to 1,048,575. */
  readonly number: number;
  readonly more: boolean;
  /** Size exponent 0 to 6: blocks of 16 to 1024 bytes. */
  readonly exponent: number;
}

/** Tells whether an option is Block1 or Block2. */
export const isBlockOption = ({ number }: Option): boolean => number === OPTION.block1 || number === OPTION.block2;

export const blockSize = (exponent: number): number => 16 << exponent;

/** The largest exponent whose blocks have at most `bytes` (16 or more) bytes. */
export const exponentFor = (bytes: number): number => Math.min(6, Math.floor(Math.log2(bytes)) - 4);

/** @returns undefined when the option is not there; `reserved` for the exponent 7, which is a bad request (§2.2) */
export function findBlock(options: readonly Option[], number: number): Block | 'reserved' | undefined {
  const value = findUint(options, number);
  if (value === undefined) return undefined;
  const exponent = value & 7;
  return exponent === 7 ? 'reserved' : { number: value >> 4, more: (value & 8) !== 0, exponent };
}

export const blockOption = (option: number, { number, more, exponent }: Block): Option =>
  uintOption(option, (number << 4) | (more ? 8 : 0) | exponent);

/**
 * Returns one block of a body.
 *
 * @returns undefined when the body ends before it
 */
export function sliceBlock(
  body: Buffer,
  number: number,
  exponent: number,
): { bytes: Buffer; more: boolean } | undefined {
  const size = blockSize(exponent);
  const start = number * size;
  if (start > 0 && start >= body.length) return undefined;
  return { bytes: body.subarray(start, start + size), more: start + size < body.length };
}
