import { expect, test } from 'vitest';
import { createOutageTracker, MAX_OUTAGE_MS } from '../../../sender/broadcast/outage.js';
import { ApiError } from '../../../sender/index.js';
import { SupersimError } from '../../../shared/errors.js';

const BUSY = new ApiError(429, '');
const AWAY = new SupersimError('api-unreachable', 'no route');

function setUp() {
  let now = 0;
  const told: unknown[] = [];
  const outage = createOutageTracker(
    (error) => told.push(error),
    () => now,
  );
  return { outage, told, pass: (ms: number) => (now += ms) };
}

test('an API that never worked is not retried, unless it is overloaded', () => {
  const { outage, told, pass } = setUp();
  expect(outage.shouldRetry(AWAY)).toBe(false);
  expect(outage.shouldRetry(BUSY)).toBe(true);
  pass(MAX_OUTAGE_MS);
  expect(outage.shouldRetry(BUSY)).toBe(false);
  expect(told).toEqual([]);
});

test('an API that worked is retried for five minutes since then, and each outage is reported once', () => {
  const { outage, told, pass } = setUp();
  outage.recordSuccess();
  pass(1000);
  expect(outage.shouldRetry(AWAY)).toBe(true);
  pass(MAX_OUTAGE_MS - 1001);
  expect(outage.shouldRetry(AWAY)).toBe(true);
  expect(told).toEqual([AWAY]);
  outage.recordSuccess();
  pass(MAX_OUTAGE_MS - 1);
  expect(outage.shouldRetry(BUSY)).toBe(true);
  expect(told).toEqual([AWAY, BUSY]);
  pass(1);
  expect(outage.shouldRetry(AWAY)).toBe(false);
});
