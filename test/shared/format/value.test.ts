import { encode } from 'cborg';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { fromCbor, isRecord, toCbor, toJson } from '../../../shared/format/value.js';
import { SEED } from '../../support/seed.js';

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

function cycle(): unknown {
  const around: unknown[] = [];
  around.push(around);
  return around;
}

describe('isRecord', () => {
  it('is true only for a plain object', () => {
    expect([{}, { a: 1 }, Object.create(null)].every(isRecord)).toBe(true);
    const others = [
      null,
      undefined,
      1,
      'a',
      [],
      new Date(),
      new Map(),
      Buffer.alloc(1),
      () => 1,
      Object.create({ a: 1 }),
    ];
    expect(others.some(isRecord)).toBe(false);
  });
});

describe('toJson', () => {
  it('encodes bytes in Base64 at any depth', () => {
    const base64 = ALL_BYTES.toString('base64');
    for (const bytes of [ALL_BYTES, new Uint8Array(ALL_BYTES)]) {
      expect(JSON.parse(toJson(bytes))).toEqual({ base64 });
      expect(JSON.parse(toJson({ a: [bytes, { b: bytes }] }))).toEqual({ a: [{ base64 }, { b: { base64 } }] });
    }
  });

  it('encodes undefined as null', () => {
    expect([toJson(undefined), toJson(null), toJson([undefined, { a: undefined }])]).toEqual([
      'null',
      'null',
      '[null,{}]',
    ]);
  });

  it.each([
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a function among its members', { a: [() => 1] }],
    ['a symbol among its members', [Symbol('x')]],
    ['a cycle', cycle()],
    ['a big integer', 1n],
    [
      'what throws when it is asked',
      {
        toJSON() {
          throw new Error('no');
        },
      },
    ],
    ['a map', new Map()],
  ])('cannot carry %s', (_what, value) => {
    expect(() => toJson(value)).toThrow(expect.objectContaining({ code: 'bad-reply' }));
  });
});

describe('CBOR of a value', () => {
  it('returns what JSON can carry, and bytes', () => {
    const value = fc.oneof(fc.jsonValue({ maxDepth: 4 }), fc.uint8Array(), fc.dictionary(fc.string(), fc.uint8Array()));
    fc.assert(
      fc.property(value, (one) => {
        expect(fromCbor(toCbor(one))).toEqual(one);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('carries all bytes, a Buffer’s as well as an array’s', () => {
    for (const bytes of [ALL_BYTES, new Uint8Array(ALL_BYTES)]) {
      expect(fromCbor(toCbor({ bytes }))).toEqual({ bytes: new Uint8Array(ALL_BYTES) });
    }
  });

  it('encodes dates and undefined as JSON does', () => {
    const value = { at: new Date(0), gone: undefined, list: [undefined, 1] };
    expect(fromCbor(toCbor(value))).toEqual(JSON.parse(toJson(value)));
    expect(Object.keys(z.record(z.string(), z.unknown()).parse(fromCbor(toCbor(value))))).toEqual(['at', 'list']);
  });

  it('is written without tags', () => {
    // A map of one: the text "a", then one byte.
    expect(Buffer.from(toCbor({ a: Buffer.from('b') })).toString('hex')).toBe('a161614162');
  });

  it.each([
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a cycle', cycle()],
    ['a map', new Map()],
    ['a set', new Set()],
    ['an integer beyond 64 bits', 2n ** 64n],
  ])('cannot carry %s', (_what, value) => {
    expect(() => toCbor({ value })).toThrow(expect.objectContaining({ code: 'bad-reply' }));
  });

  it('is read with arrays and maps of indefinite length', () => {
    expect(fromCbor(hex('bf 6161 9f 01 02 ff ff'))).toEqual({ a: [1, 2] });
  });

  it.each([
    ['nothing', ''],
    ['a tag', 'c0 6161'],
    ['a tagged big integer', '81 c2 49 010000000000000000'],
    ['bytes behind the item', '80 00'],
    ['a second item', 'a0 a0'],
    ['a string of indefinite length', '81 7f 6161 ff'],
    ['bytes of indefinite length', '81 5f 4161 ff'],
    ['an indefinite array without an end', '9f 01'],
    ['an end of nothing', '81 ff'],
    ['a key that is a number', 'a1 01 02'],
    ['a key that comes twice', 'a2 6161 01 6161 02'],
    ['a key that comes twice in a map inside', '81 a2 6161 01 6161 02'],
    ['a key without a value', 'a1 6161'],
    ['fewer items than said', '83 01 02'],
    ['2³¹ items', '9a 7fffffff'],
    ['2⁶⁴ − 1 items', '9b ffffffffffffffff'],
    ['2⁶⁴ − 1 members', 'bb ffffffffffffffff'],
    ['a string longer than the datagram', '81 7a 7fffffff 61'],
    ['bytes longer than the datagram', '81 5b ffffffffffffffff 61'],
    ['an unassigned simple value', '81 f8 ff'],
    ['a reserved length', '81 1c'],
    ['an integer that a number cannot hold', '81 1b 0020000000000001'],
    ['2⁶⁴ − 1', '81 1b ffffffffffffffff'],
    ['−2⁶⁴', '81 3b ffffffffffffffff'],
    ['1,300 arrays in each other, without the last', '81'.repeat(1300)],
  ])('refuses %s', (_what, item) => {
    expect(() => fromCbor(hex(item))).toThrow(Error);
  });

  it('is read at any depth that fits a datagram', () => {
    let depth = 0;
    for (let at = fromCbor(hex(`${'81'.repeat(1299)}80`)); Array.isArray(at); at = at[0]) depth++;
    expect(depth).toBe(1300);
  });

  it('does not change a prototype by a member called __proto__', () => {
    const read = fromCbor(hex('a1 6178 a1 69 5f5f70726f746f5f5f a1 6161 01'));
    expect(Object.hasOwn(Object.prototype, 'a')).toBe(false);
    expect(isRecord(read) && isRecord(read['x']) && Object.keys(read['x'])).toEqual(['__proto__']);
    expect(isRecord(read) && isRecord(read['x']) && read['x']['a']).toBe(undefined);
  });

  it('reads the largest exact integers', () => {
    expect(fromCbor(encode([Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]))).toEqual([
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
    ]);
  });
});
