import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  accept,
  acceptUnseen,
  isFresh,
  isUnseen,
  NEW_WINDOW,
  type ReplayWindow,
  WINDOW_SIZE,
  windowFrom,
} from '../../../shared/oscore/replay-window.js';
import { anyNumber } from '../../support/oscore.js';
import { SEED, seededRandom } from '../../support/seed.js';

const acceptAll = (window: ReplayWindow, numbers: readonly number[]) => numbers.reduce(accept, window);
const upTo = (count: number, step = 1, first = 0) => Array.from({ length: count }, (_, index) => first + index * step);

describe('a replay window', () => {
  it('takes any number of a key that has never been used', () => {
    expect([0, 1, 2 ** 40 - 1].filter((number) => isFresh(NEW_WINDOW, number))).toHaveLength(3);
  });

  it('takes no number twice', () => {
    const window = acceptAll(NEW_WINDOW, [5, 1000, 2 ** 36]);
    expect([5, 1000, 2 ** 36].filter((number) => isFresh(window, number))).toEqual([]);
  });

  it('takes numbers that were overtaken, also below the lowest while none has been dropped', () => {
    const window = acceptAll(NEW_WINDOW, [1000, 3000]);
    expect([7, 999, 1001, 2999, 3001].filter((number) => !isFresh(window, number))).toEqual([]);
  });

  it('takes none below the lowest that it keeps, once it is full', () => {
    const full = acceptAll(NEW_WINDOW, upTo(WINDOW_SIZE, 1024, 1024));
    expect(isFresh(full, 1023)).toBe(false);
    expect(isFresh(full, 1025)).toBe(true);
  });

  it('drops the lowest number, not the oldest', () => {
    const window = acceptAll(NEW_WINDOW, [9000, ...upTo(WINDOW_SIZE)]);
    expect(isFresh(window, 9000)).toBe(false);
    expect(window.numbers.at(-1)).toBe(9000);
    expect(isFresh(window, 0)).toBe(false);
  });

  it('keeps as many numbers as it is asked to', () => {
    const window = upTo(200, 1, 1).reduce((kept, number) => acceptUnseen(kept, number, 100), windowFrom(0));
    expect(window).toEqual({ floor: 101, numbers: upTo(100, 1, 101) });
    expect(acceptUnseen(windowFrom(500), 7, 2)).toEqual({ floor: 500, numbers: [7, 500] });
    expect(isUnseen({ floor: 500, numbers: [7, 500] }, 3, 2)).toBe(false);
  });

  it('that begins again after a loss takes nothing up to the request that was proven fresh', () => {
    const window = windowFrom(5000);
    expect([0, 4999, 5000].filter((number) => isFresh(window, number))).toEqual([]);
    expect(isFresh(window, 5001)).toBe(true);
    const later = acceptAll(window, [5002, 5001]);
    expect([4999, 5000, 5001, 5002].filter((number) => isFresh(later, number))).toEqual([]);
  });

  it('is not changed by a number that is not fresh, nor in place', () => {
    const window = acceptAll(windowFrom(100), [200, 300]);
    const stored = JSON.stringify(window);
    expect(accept(window, 200)).toBe(window);
    expect(accept(window, 50)).toBe(window);
    accept(window, 250);
    expect(JSON.stringify(window)).toBe(stored);
  });

  it('is bounded, in order, and the same after it was stored', () => {
    fc.assert(
      fc.property(fc.array(anyNumber, { maxLength: 200 }), (numbers) => {
        const window = acceptAll(NEW_WINDOW, numbers);
        expect(window.numbers.length).toBeLessThanOrEqual(WINDOW_SIZE);
        expect(window.numbers).toEqual(window.numbers.toSorted((one, other) => one - other));
        expect(JSON.parse(JSON.stringify(window))).toEqual(window);
      }),
      { seed: SEED },
    );
  });

  it('never takes a number that it took before, in any order', () => {
    const { integer } = seededRandom(SEED);
    for (let round = 0; round < 50; round++) {
      const taken = new Set<number>();
      const range = 10 + integer(400);
      let window = integer(2) === 0 ? NEW_WINDOW : windowFrom(integer(range));
      for (const number of window.numbers) taken.add(number);
      for (let step = 0; step < 500; step++) {
        const number = integer(range) + (step >> 1);
        if (!isFresh(window, number)) continue;
        expect(taken.has(number), `${number} in round ${round} of seed ${SEED}`).toBe(false);
        taken.add(number);
        window = accept(window, number);
      }
    }
  });

  it('takes every number of a sender in order, with gaps of any width', () => {
    const { integer } = seededRandom(SEED);
    let window = NEW_WINDOW;
    for (let number = 0, step = 0; step < 1000; step++, number += 1 + integer(2 ** 20)) {
      expect(isFresh(window, number)).toBe(true);
      window = accept(window, number);
    }
  });
});

describe('a request that Echo shows to be fresh', () => {
  it('may be below the floor, once, and makes no other one there fresh', () => {
    const window = acceptUnseen(windowFrom(100), 40);
    expect(window).toEqual({ floor: 100, numbers: [40, 100] });
    expect([40, 100].filter((number) => isUnseen(window, number))).toEqual([]);
    expect([39, 41, 99].filter((number) => isFresh(window, number))).toEqual([]);
    expect(isUnseen(window, 39)).toBe(true);
  });

  it('is not known to be new once lower numbers have been dropped', () => {
    const full = acceptAll(windowFrom(100), upTo(WINDOW_SIZE, 10, 200));
    expect(full.numbers).toHaveLength(WINDOW_SIZE);
    expect([5, 99, 100, 199, 200].filter((number) => isUnseen(full, number))).toEqual([]);
    expect(acceptUnseen(full, 150)).toBe(full);
    expect(isUnseen(full, 205)).toBe(true);
  });

  it('never lowers the floor, nor is accepted twice, in whatever order requests come, with Echo or without', () => {
    const request = fc.record({ number: fc.integer({ min: 0, max: 150 }), hasEcho: fc.boolean() });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 150 }),
        fc.array(request, { maxLength: 400, size: 'max' }),
        (first, requests) => {
          let window = windowFrom(first);
          const taken = new Set([first]);
          for (const { number, hasEcho } of requests) {
            if (!(hasEcho ? isUnseen : isFresh)(window, number)) continue;
            expect(taken.has(number)).toBe(false);
            taken.add(number);
            const next = (hasEcho ? acceptUnseen : accept)(window, number);
            expect(next.floor).toBeGreaterThanOrEqual(window.floor);
            expect(next.numbers.length).toBeLessThanOrEqual(WINDOW_SIZE);
            window = next;
          }
        },
      ),
      { seed: SEED },
    );
  });
});
