/** Node fires a longer timer at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Creates the one timer of a state machine that knows when it wants to be called next. */
export function createAlarm(onFire: () => void) {
  let timer: NodeJS.Timeout | undefined;
  return {
    /** @param ms delay until it fires, in place of the one set before; infinite for never */
    set(ms: number): void {
      clearTimeout(timer);
      if (ms === Number.POSITIVE_INFINITY) return;
      timer = setTimeout(onFire, Math.min(Math.max(0, Math.ceil(ms)), MAX_TIMER_MS));
    },
    clear: (): void => clearTimeout(timer),
  };
}
