import { describe, expect, it } from 'vitest';
import { OPTION } from '../../../shared/coap/options.js';
import {
  isOuterOption,
  joinOptions,
  splitRequestOptions,
  splitResponseOptions,
} from '../../../shared/oscore/option-classes.js';

const option = (number: number, value = '') => ({ number, value: Buffer.from(value) });
const numbers = (options: readonly { readonly number: number }[]) => options.map(({ number }) => number);

const MAX_AGE = 14;
const NO_RESPONSE = 258;
/** A critical and an elective option that nobody defines. */
const UNKNOWN = [2051, 65_002];

/** RFC 8613 §4.1, figure 5, and RFC 9175, without Observe. */
const INNER: readonly (readonly [name: string, number: number])[] = [
  ['If-Match', 1],
  ['ETag', 4],
  ['If-None-Match', 5],
  ['Location-Path', 8],
  ['Uri-Path', 11],
  ['Content-Format', 12],
  ['Max-Age', MAX_AGE],
  ['Uri-Query', 15],
  ['Accept', 17],
  ['Location-Query', 20],
  ['Block2', 23],
  ['Block1', 27],
  ['Size2', 28],
  ['Size1', 60],
  ['Echo', 252],
  ['No-Response', NO_RESPONSE],
  ['Request-Tag', 292],
  ['Journal, of this project', OPTION.journal],
  ['an unknown critical option', 2051],
  ['an unknown elective option', 65_002],
];

const OUTER: readonly (readonly [name: string, number: number])[] = [
  ['Uri-Host', 3],
  ['Uri-Port', 7],
  ['Proxy-Scheme', 39],
];

describe('an option that is to be protected', () => {
  it.each(INNER)('is written inside: %s', (_, number) => {
    const given = [option(number, 'a')];
    expect(splitRequestOptions(given)).toEqual({ inner: given, outer: [] });
    expect(splitResponseOptions(given)).toEqual({ inner: given, outer: [] });
    expect(isOuterOption(number)).toBe(false);
  });

  it.each(OUTER)('is written outside: %s', (_, number) => {
    const given = [option(number, 'a')];
    expect(splitRequestOptions(given)).toEqual({ inner: [], outer: given });
    expect(splitResponseOptions(given)).toEqual({ inner: [], outer: given });
    expect(isOuterOption(number)).toBe(true);
  });

  it('is written in both places of a request if it is Observe', () => {
    const given = [option(OPTION.observe, '\x01')];
    expect(splitRequestOptions(given)).toEqual({ inner: given, outer: given });
  });

  it('is written outside and empty inside of a response if it is Observe', () => {
    const given = [option(OPTION.observe, '\x07')];
    expect(splitResponseOptions(given)).toEqual({ inner: [option(OPTION.observe)], outer: given });
  });

  it('keeps its place among those of its class', () => {
    const given = [option(3), option(11, 'a'), option(11, 'b'), option(39), option(2051)];
    const { inner, outer } = splitRequestOptions(given);
    expect(inner).toEqual([option(11, 'a'), option(11, 'b'), option(2051)]);
    expect(numbers(outer)).toEqual([3, 39]);
  });

  it.each([
    ['OSCORE', OPTION.oscore],
    ['Proxy-Uri', OPTION.proxyUri],
  ])('is refused if it is %s', (_, number) => {
    expect(() => splitRequestOptions([option(11), option(number)])).toThrow(Error);
    expect(() => splitResponseOptions([option(11), option(number)])).toThrow(Error);
  });
});

describe('the options of a decrypted message', () => {
  it('are those from inside, without any of class E from outside', () => {
    const inner = [option(11, 'ping')];
    const outside = [1, 4, 6, 11, 12, MAX_AGE, 15, 17, 28, 60, 252, NO_RESPONSE, 292, ...UNKNOWN].map((number) =>
      option(number, 'forged'),
    );
    expect(joinOptions(inner, outside)).toEqual(inner);
  });

  it('are joined by those of class U from outside, without OSCORE, in the order of their numbers', () => {
    const inner = [option(4, 'tag'), option(11, 'a'), option(11, 'b'), option(60)];
    const outside = [option(3, 'host'), option(7), option(OPTION.oscore, '\x09'), option(35), option(39)];
    expect(joinOptions(inner, outside)).toEqual([
      option(3, 'host'),
      option(4, 'tag'),
      option(7),
      option(11, 'a'),
      option(11, 'b'),
      option(35),
      option(39),
      option(60),
    ]);
  });
});
