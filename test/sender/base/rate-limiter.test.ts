import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createRateLimiter, type Priority } from '../../../sender/base/rate-limiter.js';
import { rejection } from '../support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const { signal } = new AbortController();

function setUp(options: Parameters<typeof createRateLimiter>[0]) {
  const limiter = createRateLimiter(options);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const take = (name: string, priority: Priority = 'normal') =>
    void limiter.acquire(priority, signal).then((end) => {
      begun.push(name);
      ends.set(name, end);
    });
  const end = async (name: string) => {
    ends.get(name)?.();
    await vi.advanceTimersByTimeAsync(0);
  };
  return { limiter, begun, take, end };
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

test('a rate limiter gives a bounded number of slots, in order of arrival, but high priority first', async () => {
  const { begun, take, end } = setUp({ maxConcurrent: 2 });
  for (const name of ['a', 'b', 'c', 'd']) take(name);
  take('repeat of a', 'high');
  await pass(0);
  expect(begun).toEqual(['a', 'b']);
  await end('b');
  expect(begun).toEqual(['a', 'b', 'repeat of a']);
  await end('a');
  await end('repeat of a');
  expect(begun).toEqual(['a', 'b', 'repeat of a', 'c', 'd']);
});

test('a rate limiter gives no more slots a second than its rate, high priority first', async () => {
  const { begun, take, end } = setUp({ maxConcurrent: 10, rate: 2 });
  for (const name of ['a', 'b', 'c', 'd']) take(name);
  await pass(0);
  expect(begun).toEqual(['a', 'b']);
  take('repeat of a', 'high');
  await pass(499);
  expect(begun).toEqual(['a', 'b']);
  await pass(1);
  expect(begun).toEqual(['a', 'b', 'repeat of a']);
  await end('a');
  expect(begun).toHaveLength(3);
  await pass(1000);
  expect(begun).toEqual(['a', 'b', 'repeat of a', 'c', 'd']);
  expect(vi.getTimerCount()).toBe(0);
});

test('acquire() rejects when aborted, before or while waiting, and takes no slot', async () => {
  const { limiter, begun, take, end } = setUp({ maxConcurrent: 1, rate: 1 });
  take('a');
  const abort = new AbortController();
  const stopped = rejection(limiter.acquire('high', abort.signal));
  take('b');
  await pass(0);
  abort.abort(new Error('stopped'));
  expect(await stopped).toEqual(new Error('stopped'));
  expect(await rejection(limiter.acquire('high', abort.signal))).toEqual(new Error('stopped'));
  await end('a');
  await pass(1000);
  expect(begun).toEqual(['a', 'b']);
});

test('a rate limiter keeps no timer once all waiters are aborted', async () => {
  const { limiter } = setUp({ maxConcurrent: 5, rate: 0.1 });
  const abort = new AbortController();
  (await limiter.acquire('normal', abort.signal))();
  const stopped = rejection(limiter.acquire('normal', abort.signal));
  expect(vi.getTimerCount()).toBe(1);
  abort.abort(new Error('stopped'));
  await stopped;
  expect(vi.getTimerCount()).toBe(0);
});
