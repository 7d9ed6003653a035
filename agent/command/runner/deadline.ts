import type { CommandError } from '../../../shared/command.js';
import type { ClockCheck } from '../../base/clock-sync.js';
import { EXPIRED, isPast } from '../../handlers/not-started.js';

/** The judgement of a deadline. */
export type Verdict =
  | { readonly run: true; readonly clockSynchronized: boolean }
  | { readonly run: false; readonly error: CommandError };

/**
 * Makes the judge of deadlines. While the clock is not synchronised, the configured policy decides, and the reply says
 * so.
 *
 * @param unsynchronized the policy as it is now: a reload may change it
 * @param now Unix time in milliseconds
 */
export function createDeadlineJudge(
  clockSynchronized: ClockCheck,
  unsynchronized: () => 'refuse' | 'run',
  now: () => number = Date.now,
): (deadline: number) => Promise<Verdict> {
  return async (deadline) => {
    if (await clockSynchronized()) {
      return isPast(deadline, now()) ? { run: false, error: EXPIRED } : { run: true, clockSynchronized: true };
    }
    return unsynchronized() === 'run' ? { run: true, clockSynchronized: false } : { run: false, error: CANNOT_TELL };
  };
}

const CANNOT_TELL: CommandError = {
  code: 'expired',
  message: 'it has a deadline, and the device’s clock is not synchronised',
};
