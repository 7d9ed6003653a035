import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createAlarm } from '../../../agent/base/alarm.js';

const YEAR_MS = 365 * 24 * 3_600_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('an alarm fires once, at the time that was set last', () => {
  const onFire = vi.fn();
  const alarm = createAlarm(onFire);
  alarm.set(100);
  alarm.set(300.5);
  vi.advanceTimersByTime(300);
  expect(onFire).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(onFire).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(YEAR_MS);
  expect(onFire).toHaveBeenCalledTimes(1);
});

it('an alarm fires at once when the time is past', () => {
  const onFire = vi.fn();
  createAlarm(onFire).set(-5);
  vi.advanceTimersByTime(0);
  expect(onFire).toHaveBeenCalledTimes(1);
});

it('an alarm does not fire when it is set to infinity or cleared, nor early when it is set beyond the longest timer', () => {
  const onFire = vi.fn();
  const alarm = createAlarm(onFire);
  alarm.set(10);
  alarm.set(Number.POSITIVE_INFINITY);
  expect(vi.getTimerCount()).toBe(0);
  alarm.set(10);
  alarm.clear();
  expect(vi.getTimerCount()).toBe(0);
  alarm.set(YEAR_MS);
  vi.advanceTimersByTime(1000);
  expect(onFire).not.toHaveBeenCalled();
});
