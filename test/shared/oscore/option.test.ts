import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatOscoreOption, parseOscoreOption } from '../../../shared/oscore/option.js';
import { SEED } from '../../support/seed.js';

const hex = (text: string) => Buffer.from(text, 'hex');

describe('the value of the OSCORE option', () => {
  it.each([
    ['of a request', '090525', { partialIv: hex('05'), kid: hex('25') }],
    ['with an empty kid', '0900', { partialIv: hex('00'), kid: hex('') }],
    [
      'with a kid context',
      '19050544616c656b',
      { partialIv: hex('05'), kidContext: Buffer.from('Dalek'), kid: hex('') },
    ],
    ['of a response without a Partial IV', '', {}],
    ['of a response with a Partial IV', '0107', { partialIv: hex('07') }],
    ['with an empty kid context', '110700', { partialIv: hex('07'), kidContext: hex('') }],
    ['with a kid alone', '080102', { kid: hex('0102') }],
    [
      'with all fields',
      `1d0102030405${'02'}abcd${'01'}`,
      { partialIv: hex('0102030405'), kidContext: hex('abcd'), kid: hex('01') },
    ],
  ])('%s is as in RFC 8613 §6: %s', (_, value, fields) => {
    expect(formatOscoreOption(fields).toString('hex')).toBe(value);
    expect(parseOscoreOption(hex(value))).toEqual(fields);
  });

  it.each([
    ['flags of zero that should have been left out', '00'],
    ['flags of zero before other bytes', '0007'],
    ['the reserved flag 0x20', '290525'],
    ['the reserved flag 0x40', '490525'],
    ['the reserved flag 0x80', '890525'],
    ['a Partial IV of 6 bytes', '0e01020304050625'],
    ['a Partial IV of 7 bytes', '0f0102030405060725'],
    ['a Partial IV beyond the end', '0a05'],
    ['a kid context whose length is missing', '1905'],
    ['a kid context beyond the end', '19050544616c65'],
    ['bytes that no flag announces', '010707'],
    ['bytes after the kid context without a kid', '11070144ff'],
    ['more than 255 bytes', `09${'05'.repeat(255)}`],
  ])('is malformed with %s', (_, value) => {
    expect(parseOscoreOption(hex(value))).toBeUndefined();
  });

  it('keeps leading zero bytes of a Partial IV that it is read with', () => {
    expect(parseOscoreOption(hex('0a000525'))?.partialIv?.toString('hex')).toBe('0005');
  });

  it('is read as it was written', () => {
    const bytes = (minLength: number, maxLength: number) =>
      fc.option(
        fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array)),
        { nil: undefined },
      );
    const fields = fc.record({ partialIv: bytes(1, 5), kidContext: bytes(0, 100), kid: bytes(0, 7) });
    fc.assert(
      fc.property(fields, (given) => {
        expect(parseOscoreOption(formatOscoreOption(given))).toEqual(given);
      }),
      { seed: SEED },
    );
  });

  it('is read without an error whatever its bytes, and only as it would be written', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (array) => {
        const value = Buffer.from(array);
        const fields = parseOscoreOption(value);
        if (fields !== undefined) expect(formatOscoreOption(fields)).toEqual(value);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  it('is not written with fields that do not fit', () => {
    expect(() => formatOscoreOption({ partialIv: Buffer.alloc(6, 1) })).toThrow(RangeError);
    expect(() => formatOscoreOption({ kidContext: Buffer.alloc(254) })).toThrow(RangeError);
  });
});
