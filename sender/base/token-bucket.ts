/**
 * So many a second on average, and a second's worth at once (a token bucket).
 *
 * @param rate above 0
 * @param now a clock that nobody sets, in milliseconds
 * @returns takes a token: 0, or when there is none the milliseconds until there is one
 */
export function createTokenBucket(rate: number, now: () => number = () => performance.now()): () => number {
  const most = Math.max(1, rate);
  let tokens = most;
  let filledAt = now();
  return () => {
    const time = now();
    tokens = Math.min(most, tokens + ((time - filledAt) * rate) / 1000);
    filledAt = time;
    // What sums up to one is one, whatever was rounded on the way.
    if (tokens < 1 - 1e-9) return ((1 - tokens) * 1000) / rate;
    tokens = Math.max(0, tokens - 1);
    return 0;
  };
}
