import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createAlarm } from '../../../agent/base/alarm.js';

const YEAR_MS = 365 * 24 * 3_600_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('rings once, at the time that was set last', () => {
  const ring = vi.fn();
  const alarm = createAlarm(ring);
  alarm.set(100);
  alarm.set(300.5);
  vi.advanceTimersByTime(300);
  expect(ring).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(ring).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(YEAR_MS);
  expect(ring).toHaveBeenCalledTimes(1);
});

it('rings at once for what is past', () => {
  const ring = vi.fn();
  createAlarm(ring).set(-5);
  vi.advanceTimersByTime(0);
  expect(ring).toHaveBeenCalledTimes(1);
});

it('does not ring for never, when it is cleared, or early for what is far away', () => {
  const ring = vi.fn();
  const alarm = createAlarm(ring);
  alarm.set(10);
  alarm.set(Number.POSITIVE_INFINITY);
  expect(vi.getTimerCount()).toBe(0);
  alarm.set(10);
  alarm.clear();
  expect(vi.getTimerCount()).toBe(0);
  alarm.set(YEAR_MS);
  vi.advanceTimersByTime(1000);
  expect(ring).not.toHaveBeenCalled();
});
