import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createTokenBucket } from '../../../sender/base/token-bucket.js';
import { SEED } from '../../support/seed.js';

function setUp(rate: number) {
  let now = 1000;
  const take = createTokenBucket(rate, () => now);
  return { take, pass: (ms: number) => (now += ms) };
}

test('a token bucket gives one second’s worth of tokens at once, the rest at its rate', () => {
  const { take, pass } = setUp(4);
  expect([take(), take(), take(), take(), take(), take()]).toEqual([0, 0, 0, 0, 250, 250]);
  pass(100);
  expect(take()).toBeCloseTo(150);
  pass(150);
  expect([take(), take()]).toEqual([0, 250]);
});

test('a token bucket with a rate below 1 gives one token at once', () => {
  const { take, pass } = setUp(0.1);
  expect([take(), take()]).toEqual([0, 10_000]);
  pass(10_000);
  expect(take()).toBe(0);
});

test('a token bucket saves no more than one second’s worth', () => {
  const { take, pass } = setUp(2);
  pass(60_000);
  expect([take(), take(), take()]).toEqual([0, 0, 500]);
});

test('a token bucket gives a token after the wait that it returned, and no more than its rate over any time', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.05, max: 500, noNaN: true }),
      fc.array(fc.double({ min: 0, max: 3000, noNaN: true }), { minLength: 1, maxLength: 60 }),
      (rate, gaps) => {
        const { take, pass } = setUp(rate);
        let now = 0;
        const gone: number[] = [];
        for (const gap of gaps) {
          now += gap;
          pass(gap);
          const wait = take();
          if (wait > 0) {
            now += wait;
            pass(wait);
            expect(take()).toBe(0);
          }
          gone.push(now);
        }
        for (const [first, from] of gone.entries()) {
          for (const [index, at] of gone.slice(first).entries()) {
            expect(index + 1).toBeLessThanOrEqual(Math.max(1, rate) + ((at - from) * rate) / 1000 + 1e-6);
          }
        }
      },
    ),
    { seed: SEED },
  );
});
