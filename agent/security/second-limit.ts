/**
 * Limits how often something happens in each second of the clock.
 *
 * @param most how often in a second: 1 or more
 * @param now the monotonic clock in milliseconds
 * @returns a function that tells whether it may happen now; each call counts as one time
 */
export function createSecondLimit(most: number, now: () => number = () => performance.now()): () => boolean {
  let second = 0;
  let count = 0;
  return () => {
    const current = Math.floor(now() / 1000);
    if (current !== second) count = 0;
    second = current;
    return count++ < most;
  };
}
