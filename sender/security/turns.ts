import { createRateLimiter, type RateLimiter } from '../base/rate-limiter.js';

/**
 * Most requests under one key that wait for their answers at once. A device takes a request for a replay when 64 later ones
 * have come before it; half of them are left to another process.
 */
export const MAX_UNANSWERED = 32;

/** Waits for a request's turn under a key. @returns (resolves to) what ends it; rejects when the signal is aborted */
export type TakeTurn = (key: string, signal: AbortSignal | undefined) => Promise<() => void>;

/** Makes the turns of requests, so that those under one key do not overtake each other by too much. */
export function createTurns(): TakeTurn {
  const limiters = new Map<string, { readonly limiter: RateLimiter; users: number }>();

  return async (key, signal = new AbortController().signal) => {
    const entry = limiters.get(key) ?? { limiter: createRateLimiter({ maxConcurrent: MAX_UNANSWERED }), users: 0 };
    limiters.set(key, entry);
    entry.users++;
    const leave = () => {
      if (--entry.users === 0) limiters.delete(key);
    };
    try {
      const release = await entry.limiter.acquire('normal', signal);
      return () => {
        release();
        leave();
      };
    } catch (error) {
      leave();
      throw error;
    }
  };
}
