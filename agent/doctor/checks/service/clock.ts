import { askTimedatectl } from '../../../base/clock-sync.js';
import { defineCheck } from '../../check.js';
import { good, type Judgement, note, warning } from '../../finding.js';

interface Observation {
  /** Undefined where systemd does not tell. */
  readonly isSynchronized: boolean | undefined;
  /** `deadline.unsynchronized`. */
  readonly unsynchronized: 'refuse' | 'run';
  /** Unix milliseconds. */
  readonly now: number;
}

/** Checks whether the clock, which deadlines depend on, is synchronised. */
export const clock = defineCheck<Observation>({
  name: 'clock',
  look: async ({ config }) => ({
    isSynchronized: await askTimedatectl(),
    unsynchronized: config.deadline.unsynchronized,
    now: Date.now(),
  }),
  judge: judgeClock,
});

export function judgeClock({ isSynchronized, unsynchronized, now }: Observation): Judgement[] {
  const looked = 'timedatectl show --property=NTPSynchronized';
  const time = new Date(now).toISOString();
  if (isSynchronized === true) return [good(looked, `synchronised, ${time}`)];
  const meanwhile = `commands with a deadline are ${unsynchronized === 'refuse' ? 'refused' : 'run and marked'}`;
  if (isSynchronized === undefined) {
    const remedy = 'Without systemd, set `deadline.unsynchronized: run` if the clock is right.';
    return [note(looked, `unknown whether the clock is synchronised; it says ${time}; ${meanwhile}`, remedy)];
  }
  const remedy =
    'Run `sudo timedatectl set-ntp true`; `timedatectl timesync-status` shows whether a time server is reached.';
  return [warning(looked, `the clock is not synchronised: ${time}; ${meanwhile}`, remedy)];
}
