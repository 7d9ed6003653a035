const FIRST_MS = 250;
const MAX_MS = 30_000;

/**
 * Creates an exponential back-off with jitter: the delay doubles with each failure, up to 30 s, and is shortened by up
 * to half at random, so that devices that failed together do not retry together.
 */
export function createBackOff(random: () => number = Math.random) {
  let failures = 0;
  return {
    /** Counts a failure. @returns the delay before the next attempt, in milliseconds */
    next(): number {
      const longest = Math.min(MAX_MS, FIRST_MS * 2 ** failures++);
      return longest * (0.5 + random() / 2);
    },
    /** An attempt succeeded: the next delay is a short one. */
    reset(): void {
      failures = 0;
    },
  };
}
