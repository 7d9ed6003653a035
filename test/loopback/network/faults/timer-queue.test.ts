import fc from 'fast-check';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { createTimerQueue } from '../../../../loopback/network/faults/timer-queue.js';
import { SEED } from '../../../support/seed.js';

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
});

test('tasks run at their times, and those of one time in the order in which they were added', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 50 }), (waits) => {
      const queue = createTimerQueue(50);
      const began = performance.now();
      const done: { index: number; after: number }[] = [];
      for (const [index, wait] of waits.entries()) {
        queue.add(began + wait, () => done.push({ index, after: Math.round(performance.now() - began) }));
      }
      vi.advanceTimersByTime(60);
      const expected = waits.map((wait, index) => ({ index, after: wait })).sort((a, b) => a.after - b.after);
      expect(done).toEqual(expected);
      expect(queue.size()).toBe(0);
    }),
    { seed: SEED },
  );
});

test('no task runs before its time, not even by a fraction of a millisecond', () => {
  const queue = createTimerQueue(10);
  const at = performance.now() + 5.4;
  let doneAt = 0;
  queue.add(at, () => {
    doneAt = performance.now();
  });
  vi.advanceTimersByTime(5);
  expect(doneAt).toBe(0);
  vi.advanceTimersByTime(2);
  expect(doneAt).toBeGreaterThanOrEqual(at);
});

test('after a stall the due tasks run in the order of their times', () => {
  let now = 0;
  const queue = createTimerQueue(10, () => now);
  const done: string[] = [];
  queue.add(10.9, () => done.push('later'));
  queue.add(10.1, () => done.push('sooner'));
  now = 1000;
  vi.advanceTimersByTime(11);
  expect(done).toEqual(['sooner', 'later']);
});

test('a full queue refuses tasks until one has run', () => {
  const queue = createTimerQueue(2);
  const at = performance.now() + 10;
  expect([1, 2, 3].map(() => queue.add(at, () => undefined))).toEqual([true, true, false]);
  expect(queue.size()).toBe(2);
  vi.advanceTimersByTime(11);
  expect(queue.add(at + 100, () => undefined)).toBe(true);
});

test('a cleared queue runs no task and leaves no timer', () => {
  const queue = createTimerQueue(2);
  queue.add(performance.now() + 10, () => expect.unreachable());
  queue.clear();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(100);
});
