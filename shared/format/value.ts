import { decode as decodeCborItem, encode as encodeCborItem, Token, Type } from 'cborg';
import { messageOf, SupersimError } from '../errors.js';

/** Tells whether a value is a plain object: no array, no bytes, no instance of a class. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Encodes a value as JSON; bytes become `{ "base64": … }`. An undefined member is left out, undefined alone or in a list
 * becomes null.
 *
 * @throws SupersimError `bad-reply` for what JSON cannot carry: functions, cycles, big integers
 */
export function toJson(value: unknown): string {
  const kept = typeof value === 'object' && value !== null ? keptJson.get(value) : undefined;
  if (kept !== undefined) return kept;
  try {
    const json: string | undefined = isPlain(value, 0)
      ? JSON.stringify(value ?? null)
      : JSON.stringify(value, replacer);
    if (json !== undefined) return json;
  } catch (error) {
    throw new SupersimError('bad-reply', `the result cannot be written as JSON: ${messageOf(error)}`, { cause: error });
  }
  throw new SupersimError('bad-reply', `the result is a ${typeof value}, which JSON cannot carry`);
}

const keptJson = new WeakMap<object, string>();

/** Encodes a value that never changes once for all. */
export function keepJson<T extends object>(value: T): T {
  keptJson.set(value, toJson(value));
  return value;
}

/** Deeper values are taken for one with a cycle. */
const MAX_PLAIN_DEPTH = 16;

/**
 * Tells whether JSON can carry all of a value as it is. Then JSON.stringify needs no replacer, which takes several times as
 * long.
 */
function isPlain(value: unknown, depth: number): boolean {
  if (typeof value !== 'object') return value === undefined || PLAIN_TYPES.includes(typeof value);
  if (value === null) return true;
  if (depth > MAX_PLAIN_DEPTH) return false;
  if (Array.isArray(value)) return !('toJSON' in value) && value.every((element) => isPlain(element, depth + 1));
  return isRecord(value) && Object.values(value).every((member) => isPlain(member, depth + 1));
}

const PLAIN_TYPES = ['string', 'number', 'boolean'];

/** Replaces bytes. `toJSON` has already turned a Buffer into a list of numbers, so the member itself is checked. */
function replacer(this: unknown, key: string, value: unknown): unknown {
  // JSON.stringify would silently omit these.
  if (typeof value === 'function' || typeof value === 'symbol') throw new TypeError(`there is a ${typeof value} in it`);
  if (value instanceof Map || value instanceof Set) throw new TypeError(`there is a ${value.constructor.name} in it`);
  const member: unknown = typeof this === 'object' && this !== null ? Reflect.get(this, key) : value;
  return member instanceof Uint8Array ? { base64: Buffer.from(member).toString('base64') } : value;
}

const NULL = new Token(Type.null, null);
/** Encodes these as JSON does. */
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
 * Encodes a value as CBOR (RFC 8949), with bytes as bytes, without tags.
 *
 * @throws SupersimError `bad-reply` for what CBOR cannot carry: functions, cycles, symbols
 */
export function toCbor(value: unknown): Uint8Array {
  try {
    return encodeCborItem(value ?? null, CBOR_OPTIONS);
  } catch (error) {
    throw new SupersimError('bad-reply', `the result cannot be written as CBOR: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Decodes one CBOR item that takes all of `bytes`. Tags, strings of indefinite length, duplicate keys, keys that are
 * not strings, and integers that a number cannot hold exactly are refused.
 *
 * @throws Error when it is not well-formed or has one of these
 */
export function fromCbor(bytes: Uint8Array): unknown {
  return decodeCborItem(bytes, { rejectDuplicateMapKeys: true, allowBigInt: false });
}
