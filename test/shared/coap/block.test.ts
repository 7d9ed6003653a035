import { describe, expect, it } from 'vitest';
import { blockOption, blockSize, exponentFor, findBlock, sliceBlock } from '../../../shared/coap/block.js';
import { OPTION } from '../../../shared/coap/options.js';

describe('a block option', () => {
  // As RFC 7959 writes them: number/more/size.
  it.each([
    ['0/0/16', '', { number: 0, more: false, exponent: 0 }],
    ['0/0/128', '03', { number: 0, more: false, exponent: 3 }],
    ['0/1/128', '0b', { number: 0, more: true, exponent: 3 }],
    ['1/1/128', '1b', { number: 1, more: true, exponent: 3 }],
    ['3/0/128', '33', { number: 3, more: false, exponent: 3 }],
    ['15/1/1024', 'fe', { number: 15, more: true, exponent: 6 }],
    ['16/0/64', '0102', { number: 16, more: false, exponent: 2 }],
    ['4095/1/32', 'fff9', { number: 4095, more: true, exponent: 1 }],
    ['4096/1/512', '01000d', { number: 4096, more: true, exponent: 5 }],
    ['1048575/1/1024', 'fffffe', { number: 1_048_575, more: true, exponent: 6 }],
  ])('is written and read: %s', (_, bytes, block) => {
    const option = { number: OPTION.block2, value: Buffer.from(bytes, 'hex') };
    expect(blockOption(OPTION.block2, block)).toEqual(option);
    expect(findBlock([option], OPTION.block2)).toEqual(block);
  });

  it.each(['07', '0f', 'ffffff'])('with the exponent 7 is reserved: %s', (bytes) => {
    expect(findBlock([{ number: OPTION.block1, value: Buffer.from(bytes, 'hex') }], OPTION.block1)).toBe('reserved');
  });

  it('is undefined when only the other option is present', () => {
    expect(findBlock([{ number: OPTION.block1, value: Buffer.alloc(1) }], OPTION.block2)).toBeUndefined();
  });
});

describe('a block size', () => {
  it('is 16 to 1024 for the exponents 0 to 6, and back', () => {
    const exponents = [0, 1, 2, 3, 4, 5, 6];
    const sizes = exponents.map(blockSize);
    expect(sizes).toEqual([16, 32, 64, 128, 256, 512, 1024]);
    expect(sizes.map(exponentFor)).toEqual(exponents);
  });

  it('is the largest that fits', () => {
    expect([31, 975, 1023, 1025, 1300, 65_535].map(exponentFor)).toEqual([0, 5, 5, 6, 6, 6]);
  });
});

describe('a block of a body', () => {
  const body = Buffer.from(Array.from({ length: 40 }, (_, index) => index));

  it('has the bytes at its place, and tells whether more follow', () => {
    expect(sliceBlock(body, 0, 0)).toEqual({ bytes: body.subarray(0, 16), more: true });
    expect(sliceBlock(body, 1, 0)).toEqual({ bytes: body.subarray(16, 32), more: true });
    expect(sliceBlock(body, 2, 0)).toEqual({ bytes: body.subarray(32), more: false });
    expect(sliceBlock(body, 0, 6)).toEqual({ bytes: body, more: false });
  });

  it('is full and the last where the body ends with it', () => {
    expect(sliceBlock(body.subarray(0, 32), 1, 0)).toEqual({ bytes: body.subarray(16, 32), more: false });
  });

  it('is undefined after the end', () => {
    expect(sliceBlock(body, 3, 0)).toBeUndefined();
    expect(sliceBlock(body.subarray(0, 32), 2, 0)).toBeUndefined();
    expect(sliceBlock(body, 1_048_575, 6)).toBeUndefined();
  });

  it('is empty for an empty body, once', () => {
    expect(sliceBlock(Buffer.alloc(0), 0, 6)).toEqual({ bytes: Buffer.alloc(0), more: false });
    expect(sliceBlock(Buffer.alloc(0), 1, 6)).toBeUndefined();
  });
});
