import { describe, expect, it } from 'vitest';
import {
  findOption,
  findUint,
  isCritical,
  OPTION,
  stringOption,
  stringOptions,
  uintOption,
  usableOptions,
} from '../../../shared/coap/options.js';

const option = (number: number, value: string | number = 0) => ({
  number,
  value: typeof value === 'string' ? Buffer.from(value) : Buffer.alloc(value, 1),
});

describe('an unsigned integer in an option', () => {
  it.each([
    [0, ''],
    [1, '01'],
    [255, 'ff'],
    [256, '0100'],
    [65_535, 'ffff'],
    [65_536, '010000'],
    [16_777_216, '01000000'],
    [4_294_967_295, 'ffffffff'],
  ])('is written with no leading zero, and read back: %i', (value, bytes) => {
    const written = uintOption(OPTION.size1, value);
    expect(written).toEqual({ number: OPTION.size1, value: Buffer.from(bytes, 'hex') });
    expect(findUint([written], OPTION.size1)).toBe(value);
  });

  it('may have leading zeros when it is read', () => {
    expect(findUint([{ number: 17, value: Buffer.from('0032', 'hex') }], 17)).toBe(50);
  });

  it('is undefined without the option', () => {
    expect(findUint([uintOption(17, 5)], 12)).toBeUndefined();
    expect(findOption([], 12)).toBeUndefined();
  });
});

describe('a string in an option', () => {
  it('is UTF-8, and all of one number keep their order', () => {
    const options = [stringOption(11, 'größe'), stringOption(15, 'a=1'), stringOption(11, '')];
    expect(options[0]?.value).toEqual(Buffer.from('größe'));
    expect(stringOptions(options, 11)).toEqual(['größe', '']);
  });
});

describe('a critical option', () => {
  it('has an odd number', () => {
    expect([1, 3, 7, 11, 15, 17, 23, 27, 35, 39].filter((number) => !isCritical(number))).toEqual([]);
    expect([4, 8, 12, 14, 20, 28, 60, 292].filter(isCritical)).toEqual([]);
  });

  it.each([
    ['that is not known', option(65_001)],
    ['If-Match, which promises what nobody keeps', option(1)],
    ['OSCORE', option(9)],
    ['Q-Block1', option(19, 1)],
    ['Q-Block2', option(31, 1)],
    ['Uri-Host of no length', option(OPTION.uriHost)],
    ['Uri-Host of 256 bytes', option(OPTION.uriHost, 256)],
    ['Uri-Host that is not UTF-8', { number: OPTION.uriHost, value: Buffer.from('ff', 'hex') }],
    ['Uri-Port of 3 bytes', option(OPTION.uriPort, 3)],
    ['Uri-Path of 256 bytes', option(OPTION.uriPath, 256)],
    ['Uri-Path that is not UTF-8', { number: OPTION.uriPath, value: Buffer.from('c3', 'hex') }],
    ['Uri-Query of 256 bytes', option(OPTION.uriQuery, 256)],
    ['Uri-Query that is not UTF-8', { number: OPTION.uriQuery, value: Buffer.from('613dff', 'hex') }],
    ['Accept of 3 bytes', option(OPTION.accept, 3)],
    ['Block2 of 4 bytes', option(OPTION.block2, 4)],
    ['Block1 of 4 bytes', option(OPTION.block1, 4)],
  ])('that cannot be used is named: %s', (_, bad) => {
    const good = option(OPTION.uriPath, 'a');
    expect(usableOptions([good, bad, option(65_003)])).toEqual({ usable: [good], critical: bad.number });
  });

  it.each([OPTION.uriHost, OPTION.uriPort, OPTION.accept, OPTION.block1, OPTION.block2])(
    'that is repeated where it must not be cannot be used: %i',
    (number) => {
      const first = option(number, 1);
      expect(usableOptions([first, option(number, 1)])).toEqual({ usable: [first], critical: number });
    },
  );
});

describe('an elective option', () => {
  it.each([
    ['that is not known', option(65_000)],
    ['Observe', option(6)],
    ['Hop-Limit', option(16, 1)],
    ['No-Response', option(258, 1)],
    ['ETag of no length', option(OPTION.eTag)],
    ['ETag of 9 bytes', option(OPTION.eTag, 9)],
    ['Content-Format of 3 bytes', option(OPTION.contentFormat, 3)],
    ['Max-Age of 5 bytes', option(OPTION.maxAge, 5)],
    ['Size1 of 5 bytes', option(OPTION.size1, 5)],
    ['Size2 of 5 bytes', option(OPTION.size2, 5)],
    ['Request-Tag of 9 bytes', option(OPTION.requestTag, 9)],
    ['a journal’s identity of 25 bytes', option(OPTION.journal, 25)],
  ])('that cannot be used is ignored: %s', (_, bad) => {
    const good = option(OPTION.uriPath, 'a');
    expect(usableOptions([bad, good])).toEqual({ usable: [good], critical: undefined });
  });

  it('that is repeated where it must not be counts only the first time', () => {
    const [first, second] = [option(OPTION.contentFormat, 1), option(OPTION.contentFormat, 2)];
    expect(usableOptions([first, second])).toEqual({ usable: [first], critical: undefined });
  });
});

describe('valid options', () => {
  it('are all usable, at their shortest and at their longest', () => {
    const options = [
      option(OPTION.uriHost, 1),
      option(OPTION.eTag, 1),
      option(OPTION.eTag, 8),
      option(OPTION.uriPort),
      option(OPTION.uriPath),
      option(OPTION.uriPath, 255),
      option(OPTION.contentFormat, 2),
      option(OPTION.maxAge, 4),
      option(OPTION.uriQuery),
      option(OPTION.uriQuery, 255),
      option(OPTION.accept, 2),
      option(OPTION.block2, 3),
      option(OPTION.block1, 3),
      option(OPTION.size2, 4),
      option(OPTION.size1, 4),
      option(OPTION.requestTag),
      option(OPTION.requestTag, 8),
      option(OPTION.journal),
    ];
    expect(usableOptions(options)).toEqual({ usable: options, critical: undefined });
    expect(usableOptions([option(OPTION.uriHost, 255)]).critical).toBeUndefined();
    expect(usableOptions([option(OPTION.uriPort, 2)]).critical).toBeUndefined();
  });
});
