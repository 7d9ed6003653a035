import { createTokenBucket } from './token-bucket.js';

/** Waiters with the priority `high` go first. */
export type Priority = 'high' | 'normal';

export interface RateLimiter {
  /**
   * Waits for a slot.
   *
   * @returns releases the slot; to be called once. Rejects when the signal is aborted while waiting.
   */
  acquire(priority: Priority, signal: AbortSignal): Promise<() => void>;
}

export interface RateLimiterOptions {
  /** Or a function that returns how many tasks may run at once now, which is called whenever one ends. */
  readonly maxConcurrent: number | (() => number);
  /** Most slots that are given in a second; default: unlimited. */
  readonly rate?: number | undefined;
  /** A monotonic clock, in milliseconds. */
  readonly now?: (() => number) | undefined;
}

/** Limits how many tasks run at once, and how many start in a second. */
export function createRateLimiter({ maxConcurrent, rate, now }: RateLimiterOptions): RateLimiter {
  const untilToken = rate === undefined ? () => 0 : createTokenBucket(rate, now);
  const waiting = { high: new Set<() => void>(), normal: new Set<() => void>() };
  const most = typeof maxConcurrent === 'number' ? () => maxConcurrent : maxConcurrent;
  let running = 0;
  let timer: NodeJS.Timeout | undefined;

  function grantSlots(): void {
    clearTimeout(timer);
    while (running < most()) {
      const [grant] = waiting.high.size > 0 ? waiting.high : waiting.normal;
      if (grant === undefined) return;
      const wait = untilToken();
      if (wait > 0) {
        timer = setTimeout(grantSlots, wait);
        return;
      }
      running++;
      grant();
    }
  }

  function release(): void {
    running--;
    grantSlots();
  }

  return {
    async acquire(priority, signal) {
      signal.throwIfAborted();
      const queue = waiting[priority];
      await new Promise<void>((resolve, reject) => {
        const leave = () => {
          queue.delete(grant);
          signal.removeEventListener('abort', onAbort);
        };
        const grant = () => {
          leave();
          resolve();
        };
        const onAbort = () => {
          leave();
          reject(signal.reason);
          grantSlots();
        };
        signal.addEventListener('abort', onAbort);
        queue.add(grant);
        grantSlots();
      });
      return release;
    },
  };
}
