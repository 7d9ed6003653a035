import { expect, test } from 'vitest';
import { createOutage, MAX_OUTAGE_MS } from '../../../sender/broadcast/outage.js';
import { ApiError } from '../../../sender/index.js';
import { SupersimError } from '../../../shared/errors.js';

const BUSY = new ApiError(429, '');
const AWAY = new SupersimError('api-unreachable', 'no route');

function setUp() {
  let now = 0;
  const told: unknown[] = [];
  const outage = createOutage(
    (error) => told.push(error),
    () => now,
  );
  return { outage, told, pass: (ms: number) => (now += ms) };
}

test('an API that never worked is not waited for, but for one that has too much to do', () => {
  const { outage, told, pass } = setUp();
  expect(outage.goOn(AWAY)).toBe(false);
  expect(outage.goOn(BUSY)).toBe(true);
  pass(MAX_OUTAGE_MS);
  expect(outage.goOn(BUSY)).toBe(false);
  expect(told).toEqual([]);
});

test('one that worked is waited for, so long from the last time that it did, and each outage told once', () => {
  const { outage, told, pass } = setUp();
  outage.over();
  pass(1000);
  expect(outage.goOn(AWAY)).toBe(true);
  pass(MAX_OUTAGE_MS - 1001);
  expect(outage.goOn(AWAY)).toBe(true);
  expect(told).toEqual([AWAY]);
  outage.over();
  pass(MAX_OUTAGE_MS - 1);
  expect(outage.goOn(BUSY)).toBe(true);
  expect(told).toEqual([AWAY, BUSY]);
  pass(1);
  expect(outage.goOn(AWAY)).toBe(false);
});
