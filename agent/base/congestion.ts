/** So long the event loop is watched before it is judged. */
const WATCHED_MS = 10;
/** It waits less than this share of the time where something is always to be read: a little also then, at each look. */
const LEAST_IDLE_SHARE = 0.05;

/**
 * Makes the sign that datagrams may wait in the kernel's receive buffer: the event loop has hardly waited for work for a
 * while. Where that is not so, whatever had come was read.
 *
 * @param idleMs returns how long the event loop has waited for work since the start
 * @returns a function of the monotonic clock, to be called at each datagram
 */
export function createCongestion(idleMs: () => number): (now: number) => boolean {
  let lookedAt = Number.NEGATIVE_INFINITY;
  let lastIdleMs = Number.NaN;
  let isCongested = false;
  return (now) => {
    const watched = now - lookedAt;
    if (watched >= WATCHED_MS) {
      const idle = idleMs();
      isCongested = idle - lastIdleMs < watched * LEAST_IDLE_SHARE;
      lastIdleMs = idle;
      lookedAt = now;
    }
    return isCongested;
  };
}
