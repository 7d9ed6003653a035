import { expect, it } from 'vitest';
import { createCongestion } from '../../../agent/base/congestion.js';

it('is there once the event loop has hardly waited for 10 ms, and gone once it has', () => {
  let idle = 5;
  const isCongested = createCongestion(() => idle);
  expect([0, 9.9].map(isCongested)).toEqual([false, false]);
  expect(isCongested(10)).toBe(true);
  idle = 5.49;
  expect([15, 19.9, 20].map(isCongested)).toEqual([true, true, true]);
  idle = 5.99;
  expect(isCongested(30)).toBe(false);
});

it('is not there for datagrams that come one by one, however seldom', () => {
  let idle = 0;
  const isCongested = createCongestion(() => idle);
  for (let now = 0; now < 100_000; now += 5000) {
    expect(isCongested(now)).toBe(false);
    idle += 4999;
  }
});

it('asks for the idle time at most every 10 ms', () => {
  let asked = 0;
  const isCongested = createCongestion(() => asked++);
  for (let now = 0; now < 100; now += 0.1) isCongested(now);
  expect(asked).toBeLessThanOrEqual(10);
});
