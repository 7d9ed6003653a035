import { decode as decodeCborItem, encode as encodeCborItem, Token, Type } from 'cborg';
import { messageOf, SupersimError } from '../errors.js';

/** Whether a value is a record and nothing more: no array, no bytes, no instance of a class. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Writes a value as JSON; bytes become `{ "base64": … }`. An undefined member is left out, undefined alone or in a
 * list becomes null.
 *
 * @throws SupersimError `bad-reply` for what JSON cannot say: functions, cycles, big integers
 */
export function toJson(value: unknown): string {
  try {
    const json: string | undefined = JSON.stringify(value ?? null, sayable);
    if (json !== undefined) return json;
  } catch (error) {
    throw new SupersimError('bad-reply', `the result cannot be written as JSON: ${messageOf(error)}`, { cause: error });
  }
  throw new SupersimError('bad-reply', `the result is a ${typeof value}, which JSON cannot say`);
}

/**
 * `value` has been through `toJSON` already, which turns a Buffer into a list of numbers: look at the member itself.
 */
function sayable(this: unknown, key: string, value: unknown): unknown {
  // Left to itself JSON would pass over these in silence, the whole result included.
  if (typeof value === 'function' || typeof value === 'symbol') throw new TypeError(`there is a ${typeof value} in it`);
  if (value instanceof Map || value instanceof Set) throw new TypeError(`there is a ${value.constructor.name} in it`);
  const member: unknown = typeof this === 'object' && this !== null ? Reflect.get(this, key) : value;
  return member instanceof Uint8Array ? { base64: Buffer.from(member).toString('base64') } : value;
}

const NULL = new Token(Type.null, null);
/** What JSON makes of these. */
const CBOR_OPTIONS = {
  ignoreUndefinedProperties: true,
  typeEncoders: {
    Date: (date: Date) => new Token(Type.string, date.toISOString()),
    undefined: () => NULL,
    Map: () => {
      throw new TypeError('there is a Map in it');
    },
  },
};

/**
 * Writes the same as CBOR (RFC 8949), where bytes are bytes, without tags.
 *
 * @throws SupersimError `bad-reply` for what it cannot say: functions, cycles, symbols
 */
export function toCbor(value: unknown): Uint8Array {
  try {
    return encodeCborItem(value ?? null, CBOR_OPTIONS);
  } catch (error) {
    throw new SupersimError('bad-reply', `the result cannot be written as CBOR: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Reads one CBOR item that takes all of `bytes`. Tags, strings of indefinite length, duplicate keys, keys that are
 * not strings, and integers that a number cannot hold exactly are refused.
 *
 * @throws Error when it is not well-formed or has one of these
 */
export function fromCbor(bytes: Uint8Array): unknown {
  return decodeCborItem(bytes, { rejectDuplicateMapKeys: true, allowBigInt: false });
}
