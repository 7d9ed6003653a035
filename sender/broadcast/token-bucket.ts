import type { Sleep } from '../http.js';

/**
 * Lets through so many calls a second on average, and a second's worth at once (a token bucket). Calls are let through
 * in the order in which they came.
 *
 * @param rate calls a second, above 0
 * @param now a clock that nobody sets, in milliseconds
 * @returns resolves when the call may be made; rejects as `sleep` when the signal is aborted
 */
export function createTokenBucket(
  rate: number,
  sleep: Sleep,
  now: () => number = () => performance.now(),
): (signal?: AbortSignal) => Promise<void> {
  const most = Math.max(1, rate);
  let tokens = most;
  let filledAt = now();
  return async (signal) => {
    const time = now();
    tokens = Math.min(most, tokens + ((time - filledAt) * rate) / 1000);
    filledAt = time;
    // Below zero it is what is promised to those who wait already.
    tokens--;
    if (tokens < 0) await sleep((-tokens * 1000) / rate, signal);
  };
}
