import { expect, it } from 'vitest';
import { createBackOff } from '../../../agent/base/backoff.js';

const waits = (backOff: ReturnType<typeof createBackOff>, count: number) => Array.from({ length: count }, backOff.next);

it('the back-off doubles its delay with each failure, up to 30 s', () => {
  const longest = createBackOff(() => 1);
  expect(waits(longest, 9)).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

it('the back-off shortens its delay by up to half at random', () => {
  expect(
    waits(
      createBackOff(() => 0),
      3,
    ),
  ).toEqual([125, 250, 500]);
});

it('the back-off starts again after a success', () => {
  const backOff = createBackOff(() => 1);
  waits(backOff, 5);
  backOff.reset();
  expect(backOff.next()).toBe(250);
});
