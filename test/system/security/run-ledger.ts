import type { SentRequest } from './old-requests.js';

/** What may have run twice as far as a device can know: what was sent since a clean stop to which its folder was set back. */
export type Excused = ReadonlySet<number>;

/** Keeps account of how often each command may have run. */
export function createRunLedger(sent: readonly SentRequest[]) {
  /** Where more than one run is allowed, by the number of the command. */
  const allowed = new Map<number, number>();
  let excused: Excused = new Set();

  return {
    /** For which commands a window that is known does not say that they have run. */
    get excused() {
      return excused;
    },
    /**
     * The folder was set back to a clean stop.
     *
     * @param before what was excused then
     * @param count how many requests had been sent then
     */
    excuse(before: Excused, count: number, runs: ReadonlyMap<number, number>): void {
      this.settle(runs);
      excused = new Set([...before, ...sent.slice(count).map(({ number }) => number)]);
    },
    /** The windows are lost: nothing is excused from now on. */
    settle(runs: ReadonlyMap<number, number>): void {
      for (const number of excused) allowed.set(number, Math.max(1, runs.get(number) ?? 0));
      excused = new Set();
    },
    /** The commands that have run more often than they may. */
    tooOften: (runs: ReadonlyMap<number, number>): string[] =>
      [...runs]
        .filter(([number, count]) => count > (allowed.get(number) ?? 1) + (excused.has(number) ? 1 : 0))
        .map(([number, count]) => `${number} ran ${count} times`),
  };
}
