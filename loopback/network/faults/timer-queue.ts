/** A queue of tasks that run at their times, in the order of these times. */
export interface TimerQueue {
  /** Adds a task. Returns false when the queue is full. */
  add(at: number, task: () => void): boolean;
  size(): number;
  /** Discards all tasks. */
  clear(): void;
}

/** @param now the clock that `at` is on, in milliseconds; it never goes back */
export function createTimerQueue(capacity: number, now: () => number = () => performance.now()): TimerQueue {
  const entries: { at: number; task: () => void }[] = [];
  let timer: NodeJS.Timeout | undefined;

  // One timer for the earliest, not one for each: these would fire out of order within a millisecond.
  function arm(): void {
    clearTimeout(timer);
    const [first] = entries;
    timer = first && setTimeout(run, Math.max(1, Math.ceil(first.at - now())));
  }

  function run(): void {
    const time = now();
    while (entries[0] !== undefined && entries[0].at <= time) entries.shift()?.task();
    arm();
  }

  return {
    add(at, task) {
      if (entries.length >= capacity) return false;
      const index = entries.findLastIndex((entry) => entry.at <= at) + 1;
      entries.splice(index, 0, { at, task });
      if (index === 0) arm();
      return true;
    },
    size: () => entries.length,
    clear() {
      entries.length = 0;
      clearTimeout(timer);
    },
  };
}
