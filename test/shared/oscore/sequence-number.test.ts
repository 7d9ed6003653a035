import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  clockFloor,
  MAX_SEQUENCE_NUMBER,
  nextSequenceNumber,
  partialIvOf,
  sequenceNumberOf,
} from '../../../shared/oscore/sequence-number.js';
import { anyNumber } from '../../support/oscore.js';
import { SEED } from '../../support/seed.js';

const EPOCH = Date.parse('2025-01-01T00:00Z');

describe('the floor of the clock', () => {
  it.each([
    ['2025-01-01T00:00:00Z', 0],
    ['2025-01-01T00:00:00.500Z', 512],
    ['2025-01-01T00:00:01Z', 1024],
    ['2026-01-01T00:00:00Z', 1024 * 365 * 86_400],
    ['2024-12-31T23:59:59Z', 0],
    ['1970-01-01T00:00:00Z', 0],
  ])('at %s is %i', (time, floor) => {
    expect(clockFloor(Date.parse(time))).toBe(floor);
  });

  it('reaches the last number in 2059', () => {
    expect(clockFloor(Date.parse('2059-01-01T00:00Z'))).toBeLessThan(MAX_SEQUENCE_NUMBER);
    expect(clockFloor(Date.parse('2060-01-01T00:00Z'))).toBeGreaterThan(MAX_SEQUENCE_NUMBER);
  });

  it('is a whole number at any time', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 4e12, noNaN: true }), (time) => {
        expect(Number.isSafeInteger(clockFloor(time))).toBe(true);
      }),
      { seed: SEED },
    );
  });
});

describe('the next sequence number', () => {
  it.each([
    ['the floor when none was drawn', undefined, 2048, 2048],
    ['the floor when that is higher', 1000, 2048, 2048],
    ['one more than the last when the floor is not higher', 2048, 2048, 2049],
    ['one more than the last when the clock was set back', 9000, 2048, 9001],
    ['one more than the last without a clock', 7, undefined, 8],
    ['the highest, once', MAX_SEQUENCE_NUMBER - 1, undefined, MAX_SEQUENCE_NUMBER],
  ])('is %s', (_, last, floor, next) => {
    expect(nextSequenceNumber(last, floor)).toBe(next);
  });

  it('is unknown without a clock and a number before it', () => {
    expect(nextSequenceNumber(undefined, undefined)).toBe('unknown');
  });

  it('is none after the highest', () => {
    expect(nextSequenceNumber(MAX_SEQUENCE_NUMBER, undefined)).toBe('exhausted');
    expect(nextSequenceNumber(7, MAX_SEQUENCE_NUMBER + 1)).toBe('exhausted');
  });

  it('is higher than the last, whatever the clock says', () => {
    fc.assert(
      fc.property(anyNumber, fc.integer({ min: 0, max: 4e12 }), (last, time) => {
        const next = nextSequenceNumber(last, clockFloor(time));
        if (typeof next === 'string') expect(Math.max(last + 1, clockFloor(time))).toBeGreaterThan(MAX_SEQUENCE_NUMBER);
        else expect(next > last && next >= clockFloor(time)).toBe(true);
      }),
      { seed: SEED },
    );
  });

  it('does not come again after a restored backup, when the clock moved on by the numbers drawn since', () => {
    const draw = (last: number | undefined, time: number) => {
      const next = nextSequenceNumber(last, clockFloor(time));
      return typeof next === 'number' ? next : expect.unreachable();
    };
    const start = EPOCH + 1e9;
    const backup = draw(undefined, start);
    let last = backup;
    for (let drawn = 0; drawn < 3000; drawn++) last = draw(last, start);
    expect(draw(backup, start + 3000)).toBeGreaterThan(last);
  });
});

describe('a Partial IV', () => {
  it.each([
    [0, '00'],
    [20, '14'],
    [255, 'ff'],
    [256, '0100'],
    [65_535, 'ffff'],
    [65_536, '010000'],
    [2 ** 24, '01000000'],
    [2 ** 32, '0100000000'],
    [MAX_SEQUENCE_NUMBER, 'ffffffffff'],
  ])('of the number %i is %s', (number, bytes) => {
    expect(partialIvOf(number).toString('hex')).toBe(bytes);
    expect(sequenceNumberOf(Buffer.from(bytes, 'hex'))).toBe(number);
  });

  it('is read as it was written, and has no leading zero', () => {
    fc.assert(
      fc.property(anyNumber, (number) => {
        const bytes = partialIvOf(number);
        expect(sequenceNumberOf(bytes)).toBe(number);
        expect(bytes.length === 1 || bytes[0] !== 0).toBe(true);
      }),
      { seed: SEED },
    );
  });

  it('with leading zeros stands for the same number', () => {
    expect(sequenceNumberOf(Buffer.from('0000000014', 'hex'))).toBe(20);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 40, Number.POSITIVE_INFINITY])('is not made of %d', (number) => {
    expect(() => partialIvOf(number)).toThrow(RangeError);
  });
});
