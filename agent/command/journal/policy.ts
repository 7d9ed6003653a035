import { ageOf, type Moment } from '../../base/moment.js';
import type { JournalEntry } from './entry.js';

/** A command without a deadline that waited over a restart runs only when it is younger. */
export const RECOVERY_AGE_MS = 5 * 60_000;
/** An idempotent command that ran at a crash runs again once: one that crashes the agent must not do so for ever. */
const MAX_RUNS = 2;

/** What recovery does with a command that had not ended when the agent stopped. */
export type Decision = 'run' | 'interrupt' | 'expire' | 'done';

/**
 * Decides what recovery does with a command:
 *
 * | state | | decision |
 * |---|---|---|
 * | started | ends the agent or reboots the device, and that has happened | done |
 * | started | not idempotent | interrupt: it may have run |
 * | started | idempotent, started once, deadline not past | run again |
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

/** Judges by the wall clock and by the age: a clock that was set back does not make a command young again. */
function isExpired({ command: { deadline }, received }: JournalEntry, now: Moment, allowance: number): boolean {
  const { most } = ageOf(received, now);
  if (deadline === null) return allowance !== Number.POSITIVE_INFINITY && most >= allowance;
  return now.wall >= deadline || most >= deadline - received.wall;
}

/** Tells whether the restart or reboot that a command asked for has happened. */
const hasEnded = ({ command: { endsWith }, started }: JournalEntry, now: Moment): boolean =>
  endsWith === 'process' || (endsWith === 'boot' && started !== null && started.boot !== now.boot);

/** Commands that have ended: when the last of them did, and the longest time for which their repeats may come. */
export interface Ended {
  readonly finished: Moment;
  readonly lifetimeMs: number;
}

/**
 * Tells whether repeats of an ended command can no longer come, so that it may be evicted. Only what is certain counts:
 * after another boot it is kept for its whole lifetime again, as no clock tells how long the device was off.
 */
export const isEvictable = ({ finished, lifetimeMs }: Ended, now: Moment): boolean =>
  ageOf(finished, now).least >= lifetimeMs;

/** Tells whether an ended command has also been kept for the configured time. */
export const isForgotten = (ended: Ended, now: Moment, keepMs: number): boolean =>
  isEvictable(ended, now) && ageOf(ended.finished, now).likely >= keepMs;
