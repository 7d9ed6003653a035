/** Node fires a longer one at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The one timer of a machine that tells itself when it wants to be woken. */
export function createAlarm(ring: () => void) {
  let timer: NodeJS.Timeout | undefined;
  return {
    /** @param ms until it rings, in the place of what was set before; infinite for not at all */
    set(ms: number): void {
      clearTimeout(timer);
      if (ms === Number.POSITIVE_INFINITY) return;
      timer = setTimeout(ring, Math.min(Math.max(0, Math.ceil(ms)), MAX_TIMER_MS));
    },
    clear: (): void => clearTimeout(timer),
  };
}
