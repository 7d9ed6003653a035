/** The modem's clock: the system's, or a test's. */
export interface ModemClock {
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Calls `task` once after `ms`, unless the returned function is called before. */
  after(ms: number, task: () => void): () => void;
}

export const systemClock: ModemClock = {
  now: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
};
