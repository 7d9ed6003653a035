/** So long the event loop is busy without a pause before it counts as congested. */
const BUSY_MS = 10;

/**
 * Makes the sign that datagrams may wait in the kernel's receive buffer: the event loop has not waited for work for a
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
    if (now - lookedAt >= BUSY_MS) {
      const idle = idleMs();
      isCongested = idle === lastIdleMs;
      lastIdleMs = idle;
      lookedAt = now;
    }
    return isCongested;
  };
}
