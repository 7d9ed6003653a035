import { ageOf, type Moment } from '../../base/moment.js';
import type { JournalEntry } from './entry.js';

/**
 * Whether repeats of a command that has ended can no longer come, so that it can go where room is needed. Only what is
 * certain counts here: after another boot it is kept for its whole lifetime again, as no clock tells how long that took.
 */
export const isEvictable = ({ finished, command }: JournalEntry, now: Moment): boolean =>
  finished !== null && ageOf(finished, now).least >= command.lifetimeMs;

/** Whether a command that has ended has also been kept as long as is wished. */
export const isForgotten = (entry: JournalEntry, now: Moment, keepMs: number): boolean =>
  isEvictable(entry, now) && entry.finished !== null && ageOf(entry.finished, now).likely >= keepMs;
