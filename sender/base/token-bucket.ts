/**
 * A token bucket: `rate` tokens a second on average, and one second's worth at once.
 *
 * @param rate above 0
 * @param now a monotonic clock, in milliseconds
 * @returns takes a token, and returns 0; without one, returns the milliseconds until there is one
 */
export function createTokenBucket(rate: number, now: () => number = () => performance.now()): () => number {
  const capacity = Math.max(1, rate);
  let tokens = capacity;
  let filledAt = now();
  return () => {
    const time = now();
    tokens = Math.min(capacity, tokens + ((time - filledAt) * rate) / 1000);
    filledAt = time;
    // Rounding must not keep a token back that is whole.
    if (tokens < 1 - 1e-9) return ((1 - tokens) * 1000) / rate;
    tokens = Math.max(0, tokens - 1);
    return 0;
  };
}
