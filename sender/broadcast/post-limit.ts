/** How many API calls that post datagrams are made at once at first. */
export const FIRST_POSTS = 32;
/** Most of them: accounts have a limit, which the vendor does not document. */
export const MAX_POSTS_AT_ONCE = 256;
/** Refusals so soon after one another are of calls that were made together. */
const TOGETHER_MS = 1000;

/** How many calls may be made at once, as the API takes them. */
export interface PostLimit {
  current(): number;
  /** The API took a call. */
  accepted(): void;
  /** The API refused a call, as there were too many at once (429). */
  refused(): void;
}

/**
 * Finds out how many calls the API takes at once, as TCP does for a network (RFC 5681 §3.1): until the first refusal the
 * limit grows by each call that is taken, after it by one for as many as there may be at once. A refusal halves it.
 *
 * @param now a monotonic clock, in milliseconds
 */
export function createPostLimit(now: () => number = () => performance.now()): PostLimit {
  let limit = FIRST_POSTS;
  let wasRefused = false;
  let refusedAt = Number.NEGATIVE_INFINITY;
  return {
    current: () => Math.floor(limit),
    accepted() {
      limit = Math.min(MAX_POSTS_AT_ONCE, limit + (wasRefused ? 1 / limit : 1));
    },
    refused() {
      wasRefused = true;
      if (now() - refusedAt < TOGETHER_MS) return;
      refusedAt = now();
      limit = Math.max(1, limit / 2);
    },
  };
}
