import { isDeepStrictEqual } from 'node:util';
import { CONTENT_FORMAT, type ContentFormat } from '../../shared/coap/content-format.js';
import type { Params } from '../../shared/command.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { paramsFromText, paramsFromWords, quoteWord } from '../../shared/format/text.js';
import { isRecord, toCbor } from '../../shared/format/value.js';

/**
 * A command's parameters: by name, by position, as the words of a text command (`channel=1 on`, where the handler's
 * schema decides which words are numbers), or bytes.
 */
export type RequestParams = Readonly<Record<string, unknown>> | readonly unknown[] | string | Uint8Array;

/** Most bytes of parameters that are sent in blocks; the agent accepts no more. */
export const MAX_PARAMS_BYTES = 65_536;

const NOTHING = Buffer.alloc(0);

export const badInput = (message: string, cause?: unknown) => new SupersimError('bad-input', message, { cause });

/** Turns any error of `write` into `bad-input`. */
function orBadInput<T>(write: () => T): T {
  try {
    return write();
  } catch (error) {
    throw badInput(`the parameters: ${messageOf(error)}`, error);
  }
}

/**
 * Encodes parameters as the payload of a POST: words as text, bytes as they are, the rest in CBOR, which keeps the type
 * of every value.
 *
 * @throws SupersimError `bad-input`, `too-large`
 */
export function postBody(params: RequestParams | undefined): { payload: Buffer; contentFormat?: ContentFormat } {
  const body = writeBody(params);
  if (body.payload.length <= MAX_PARAMS_BYTES) return body;
  throw new SupersimError(
    'too-large',
    `the parameters have ${body.payload.length} bytes; the limit is ${MAX_PARAMS_BYTES}`,
  );
}

function writeBody(params: RequestParams | undefined): { payload: Buffer; contentFormat?: ContentFormat } {
  if (params === undefined) return { payload: NOTHING };
  if (params instanceof Uint8Array) return { payload: Buffer.from(params), contentFormat: CONTENT_FORMAT.bytes };
  if (typeof params !== 'string') {
    return { payload: Buffer.from(orBadInput(() => toCbor(params))), contentFormat: CONTENT_FORMAT.cbor };
  }
  orBadInput(() => paramsFromText(params));
  return params === '' ? { payload: NOTHING } : { payload: Buffer.from(params), contentFormat: CONTENT_FORMAT.text };
}

/** Most bytes of one `Uri-Query` (RFC 7252 §5.10). */
const MAX_QUERY_BYTES = 255;

/**
 * Encodes parameters as the query of a GET, whose payload has no meaning (RFC 7252 §5.8.1).
 *
 * @throws SupersimError `bad-input` for values that are not words, `too-large`
 */
export function getQuery(params: RequestParams | undefined): string[] {
  const { positional, named } = asParams(params);
  const words = [...positional.map(scalarText), ...Object.entries(named).map(namedWord)];
  const read = orBadInput(() => paramsFromWords(words));
  if (!sameShape(read, { positional, named }) || Object.hasOwn(named, 'deadline')) {
    throw badInput('the parameters would be ambiguous in a query: use POST');
  }
  const long = words.find((word) => Buffer.byteLength(word) > MAX_QUERY_BYTES);
  if (long === undefined) return words;
  throw new SupersimError('too-large', `a parameter of a GET has more than ${MAX_QUERY_BYTES} bytes: use POST`);
}

/** Tells whether parameters that were written and read again are still by position and by name as before. */
const sameShape = (one: Params, other: Params) =>
  one.positional.length === other.positional.length &&
  isDeepStrictEqual(Object.keys(one.named), Object.keys(other.named));

const namedWord = ([key, value]: [string, unknown]) => `${key}=${scalarText(value)}`;

function scalarText(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw badInput('only strings, numbers and booleans can be words: use POST, JSON or CBOR');
}

/** Encodes parameters as the words after a text command's name. */
export function textWords(params: RequestParams | undefined): string {
  if (typeof params === 'string') {
    orBadInput(() => paramsFromText(params));
    return params;
  }
  return formatWords(asParams(params));
}

/** Encodes parameters as words that `paramsFromText` reads back. */
export function formatWords({ positional, named }: Params): string {
  const words = Object.entries(named).map(([key, value]) => `${key}=${quoteWord(scalarText(value))}`);
  const line = [...positional.map((value) => quoteWord(scalarText(value))), ...words].join(' ');
  const read = orBadInput(() => paramsFromText(line));
  if (sameShape(read, { positional, named })) return line;
  throw badInput('a parameter has a name that text cannot carry: use JSON, CBOR or CoAP');
}

/** Encodes parameters as the member `params` of JSON-RPC; undefined when there are none. */
export function rpcParams(params: RequestParams | undefined): unknown {
  if (params instanceof Uint8Array) return [params];
  if (typeof params !== 'string') return params;
  const { positional, named } = orBadInput(() => paramsFromText(params));
  const names = Object.keys(named).length;
  if (positional.length > 0 && names > 0) {
    throw badInput('JSON-RPC has parameters by position or by name, not both');
  }
  return names > 0 ? named : positional;
}

function asParams(params: RequestParams | undefined): Params {
  if (params === undefined) return { positional: [], named: {} };
  if (typeof params === 'string') return orBadInput(() => paramsFromText(params));
  if (params instanceof Uint8Array) throw badInput('bytes can be parameters in CoAP and CBOR only');
  if (isRecord(params)) {
    return {
      positional: [],
      named: Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined)),
    };
  }
  return { positional: Array.isArray(params) ? params : [], named: {} };
}
