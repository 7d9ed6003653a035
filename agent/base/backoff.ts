const FIRST_MS = 250;
const MOST_MS = 30_000;

/**
 * The waits before something is opened again: each at most twice the one before, up to 30 s, and less by chance, so
 * that what was lost together does not come back together.
 */
export function createBackOff(random: () => number = Math.random) {
  let failures = 0;
  return {
    /** Milliseconds to wait after one more failure. */
    next(): number {
      const most = Math.min(MOST_MS, FIRST_MS * 2 ** failures++);
      return most * (0.5 + random() / 2);
    },
    /** It has been opened: the next wait is a short one. */
    reset(): void {
      failures = 0;
    },
  };
}
