/** Time as the modem has it: the machine's, or a test's. */
export interface Clock {
  /** Milliseconds; it never goes back. */
  now(): number;
  /** Calls once, after so many milliseconds, unless the returned function is called before. */
  after(ms: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
};
