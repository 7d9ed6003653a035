import { askTimedatectl } from '../../../base/clock-sync.js';
import { defineCheck } from '../../check.js';
import { good, type Judgement, note, warning } from '../../finding.js';

interface Seen {
  /** Undefined where nobody tells. */
  readonly isSynchronized: boolean | undefined;
  /** What becomes of commands with a deadline while it is not. */
  readonly unsynchronized: 'refuse' | 'run';
  /** Unix milliseconds. */
  readonly now: number;
}

/** Whether the clock can be trusted, by which deadlines are judged. */
export const clock = defineCheck<Seen>({
  name: 'clock',
  look: async ({ config }) => ({
    isSynchronized: await askTimedatectl(),
    unsynchronized: config.deadline.unsynchronized,
    now: Date.now(),
  }),
  judge: judgeClock,
});

export function judgeClock({ isSynchronized, unsynchronized, now }: Seen): Judgement[] {
  const looked = 'timedatectl show --property=NTPSynchronized';
  const time = new Date(now).toISOString();
  if (isSynchronized === true) return [good(looked, `synchronised, ${time}`)];
  const meanwhile = `commands with a deadline are ${unsynchronized === 'refuse' ? 'refused' : 'run, and marked'}`;
  if (isSynchronized === undefined) {
    const remedy = 'It needs systemd; without it, set `deadline.unsynchronized: run` if the clock is right.';
    return [note(looked, `it does not tell; the clock says ${time}, and ${meanwhile}`, remedy)];
  }
  const remedy =
    'Run `sudo timedatectl set-ntp true`, and see `timedatectl timesync-status`: it needs a way to a time server.';
  return [warning(looked, `the clock is not synchronised: ${time}; ${meanwhile}`, remedy)];
}
