import { ageOf, type Moment } from '../../base/moment.js';
import type { JournalEntry } from './entry.js';

/** A command without a deadline that waited through a crash runs only when it is younger. */
export const RECOVERY_AGE_MS = 5 * 60_000;
/** A command that was running at a crash runs again once, if that does no harm: one that ends the agent each time must not go on for ever. */
const MAX_RUNS = 2;

/** What becomes of a command that had not ended when the agent did. */
export type Decision = 'run' | 'interrupt' | 'expire' | 'done';

/**
 * What becomes of a command after a crash:
 *
 * | state | | decision |
 * |---|---|---|
 * | started | was to end the agent, or to reboot, and that has happened | done |
 * | started | not idempotent | interrupt: it may have run |
 * | started | idempotent, once so far, its deadline not past | run again |
 * | started | idempotent, otherwise | interrupt |
 * | accepted | younger than its deadline, or than 5 minutes without one | run |
 * | accepted | otherwise, also when its age cannot be known | expire: it never ran |
 */
export function decideRecovery(entry: JournalEntry, now: Moment): Decision {
  if (entry.state === 'accepted') return isExpired(entry, now, RECOVERY_AGE_MS) ? 'expire' : 'run';
  if (hasEnded(entry, now)) return 'done';
  const mayRun = entry.command.idempotent && entry.runs < MAX_RUNS && !isExpired(entry, now, Number.POSITIVE_INFINITY);
  return mayRun ? 'run' : 'interrupt';
}

/** By the wall clock, and by what of its time is left: so also a clock that was set back does not make it young again. */
function isExpired({ command: { deadline }, received }: JournalEntry, now: Moment, allowance: number): boolean {
  const { most } = ageOf(received, now);
  if (deadline === null) return allowance !== Number.POSITIVE_INFINITY && most >= allowance;
  return now.wall >= deadline || most >= deadline - received.wall;
}

/** Whether what a command was to end has ended: this agent is another, perhaps after another boot. */
const hasEnded = ({ command: { endsWith }, started }: JournalEntry, now: Moment): boolean =>
  endsWith === 'process' || (endsWith === 'boot' && started !== null && started.boot !== now.boot);
