import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createTokenBucket } from '../../../sender/broadcast/token-bucket.js';
import { rejection } from '../support.js';

/** A clock that the sleeps alone move on, for callers that wait one after the other. */
function setUp(rate: number) {
  let now = 1000;
  const slept: number[] = [];
  const sleep = async (ms: number) => {
    slept.push(ms);
  };
  const take = createTokenBucket(rate, sleep, () => now);
  return { take, slept, pass: (ms: number) => (now += ms) };
}

test('a second’s worth goes at once, the rest at the rate', async () => {
  const { take, slept, pass } = setUp(4);
  for (let call = 0; call < 4; call++) await take();
  expect(slept).toEqual([]);
  for (let call = 0; call < 3; call++) await take();
  expect(slept).toEqual([250, 500, 750]);
  pass(1750);
  await take();
  expect(slept).toHaveLength(3);
});

test('a rate below one a second lets one go at once', async () => {
  const { take, slept } = setUp(0.1);
  await take();
  await take();
  expect(slept).toEqual([10_000]);
});

test('what is not used is not saved for longer than a second', async () => {
  const { take, slept, pass } = setUp(2);
  pass(60_000);
  for (let call = 0; call < 3; call++) await take();
  expect(slept).toEqual([500]);
});

test('whenever calls come, no more go within a time than the rate allows, and these in their order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.double({ min: 0.5, max: 50, noNaN: true }),
      fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 60 }),
      async (rate, gaps) => {
        let now = 0;
        let slept = 0;
        const sleep = async (ms: number) => {
          slept = ms;
        };
        const take = createTokenBucket(rate, sleep, () => now);
        const gone: number[] = [];
        for (const gap of gaps) {
          now += gap;
          slept = 0;
          await take();
          gone.push(now + slept);
        }
        expect(gone).toEqual([...gone].sort((a, b) => a - b));
        const burst = Math.max(1, rate);
        for (const [first, from] of gone.entries()) {
          const within = gone.slice(first).map((at, index) => [index + 1, at - from] as const);
          for (const [calls, ms] of within) expect(calls).toBeLessThanOrEqual(burst + 1 + (ms * rate) / 1000 + 1e-6);
        }
      },
    ),
  );
});

test('who is stopped while waiting does not go', async () => {
  const abort = new AbortController();
  const take = createTokenBucket(
    1,
    (_, signal) =>
      new Promise((_done, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
      }),
  );
  await take(abort.signal);
  const waiting = rejection(take(abort.signal));
  abort.abort(new Error('stopped'));
  expect(await waiting).toEqual(new Error('stopped'));
});
