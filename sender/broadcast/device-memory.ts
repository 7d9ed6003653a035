import type { JournalIdentity } from '../../shared/format/journal-identity.js';
import { REMEMBERED } from '../../shared/limits.js';

/**
 * How long after the first datagram to a SIM its request is repeated by a resumed broadcast, in milliseconds: an hour
 * less than the day that a device remembers commands at a moderate rate ({@link REMEMBERED}). A device that gets more
 * forgets them earlier, and would run a later repeat again.
 */
export const RESUME_WITHIN_MS = 23 * 3_600_000;
/** How far two clocks may differ. */
const MAX_CLOCK_DIFFERENCE_MS = 60_000;

/**
 * Tells whether a device may be expected to remember a command that was first sent then. A start far in the future
 * means that a clock was set, and its age is unknown.
 *
 * @param startedAt milliseconds since 1970
 */
export function isRecent(startedAt: number): boolean {
  const age = Date.now() - startedAt;
  return age > -MAX_CLOCK_DIFFERENCE_MS && age < RESUME_WITHIN_MS;
}

/** Why a device that {@link isRecent} does not vouch for is not asked. */
export const TOO_OLD = `it may have been sent, so long ago that the device may no longer remember its outcome (it remembers ${REMEMBERED})`;

/** A command that may have been sent before. */
export interface EarlierCommand {
  /** Just before its first datagram: milliseconds since 1970. */
  readonly startedAt: number;
  /** The ID of the device's journal, if it was learned after that. */
  readonly journal: string | undefined;
}

/**
 * Tells whether a device may have another journal than the one in which it recorded an earlier command, or none: then
 * it would run a repeat again. One that is hardly older than the command is not trusted, as clocks may differ.
 *
 * @param identity of its journal now; undefined when it does not tell, as an older agent, which is then trusted unless
 *   it told before
 */
export function mayHaveLostJournal(
  { startedAt, journal }: EarlierCommand,
  identity: JournalIdentity | undefined,
): boolean {
  if (journal !== undefined) return identity?.id !== journal;
  return identity !== undefined && identity.age * 1000 < Date.now() - startedAt + MAX_CLOCK_DIFFERENCE_MS;
}

/** Why a device is not asked that {@link mayHaveLostJournal}. */
export const JOURNAL_LOST =
  'it may have run; it was not sent again, as the device’s memory of commands was lost or replaced since, or may have been';
