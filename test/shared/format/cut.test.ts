import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutMark, cutWithMark, utf8Head, utf8Tail } from '../../../shared/format/cut.js';
import { SEED } from '../../support/seed.js';

const text = fc.string({ unit: 'grapheme', maxLength: 80 });
const isWhole = (piece: string) => !piece.includes('\u{fffd}');

describe('the head of a text', () => {
  it('is the longest within the limit that splits no character', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 200 }), (whole, limit) => {
        const characters = [...whole];
        let expected = '';
        for (const character of characters) {
          if (Buffer.byteLength(expected + character) > limit) break;
          expected += character;
        }
        expect(utf8Head(whole, limit)).toBe(expected);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });
});

describe('the tail of a text', () => {
  it('is the longest within the limit that splits no character', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 200 }), (whole, limit) => {
        let expected = '';
        for (const character of [...whole].reverse()) {
          if (Buffer.byteLength(character + expected) > limit) break;
          expected = character + expected;
        }
        expect(utf8Tail(Buffer.from(whole), limit)).toBe(expected);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });
});

describe('bytes with a mark', () => {
  it('are not changed while they fit', () => {
    const bytes = Buffer.alloc(1300, 'a');
    expect(cutWithMark(bytes, 1300)).toBe(bytes);
  });

  it('end with the mark and the whole’s size, and fill the limit up to one character', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 60 }), (piece, times) => {
        const whole = Buffer.from(`${piece}.`.repeat(times));
        const limit = 100;
        const cut = cutWithMark(whole, limit);
        if (whole.length <= limit) {
          expect(cut).toEqual(whole);
          return;
        }
        const mark = cutMark(whole.length);
        const head = cut.toString().slice(0, -mark.length);
        expect(cut.toString()).toBe(head + mark);
        expect(isWhole(head)).toBe(true);
        expect(whole.toString().startsWith(head)).toBe(true);
        expect(cut.length).toBeLessThanOrEqual(limit);
        expect(cut.length).toBeGreaterThan(limit - 4);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('are cut at the limit itself when they are not UTF-8', () => {
    const bytes = Buffer.alloc(2000, 0x80);
    const cut = cutWithMark(bytes, 1300);
    const mark = Buffer.from(cutMark(2000));
    expect(cut).toEqual(Buffer.concat([bytes.subarray(0, 1300 - mark.length), mark]));
  });

  it('are marked also when they fit, if they are only a head', () => {
    expect(cutWithMark(Buffer.from('abc'), 1300, 5000).toString()).toBe(`abc${cutMark(5000)}`);
    expect(cutWithMark(Buffer.alloc(1300, 'a'), 1300, 5000)).toHaveLength(1300);
  });
});
