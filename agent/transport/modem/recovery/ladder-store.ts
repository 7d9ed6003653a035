import * as z from 'zod';
import type { Rung } from '../../transport.js';
import { ATTACHES, BACKOFF, healthy, type LadderState, MAX_ATTACHES, RUNGS, recentAttaches } from './ladder.js';

const REDO_ATTACH_MS = 60_000;

const savedSchema = z.object({
  rung: z.enum(RUNGS).nullable(),
  failures: z.int().nonnegative(),
  /** Milliseconds until it is due; null while it was performed. */
  dueIn: z.number().nullable(),
  rounds: z.int().nonnegative(),
  unregisteredFor: z.number().nonnegative().nullable(),
  cycled: z.boolean(),
  attachesAgo: z.array(z.number().nonnegative()).max(MAX_ATTACHES),
  counts: z.record(z.enum(RUNGS), z.int().nonnegative()),
});
/** The state as JSON. Times are ages, as the monotonic clock restarts with the process. */
export type SavedLadder = z.output<typeof savedSchema>;

export function saveLadder(state: LadderState, now: number): SavedLadder {
  const { rung, failures, dueAt, rounds, unregisteredSince, cycled, attaches, counts } = state;
  return {
    rung: rung ?? null,
    failures,
    dueIn: dueAt === undefined ? null : Math.max(0, dueAt - now),
    rounds,
    unregisteredFor: unregisteredSince === undefined ? null : now - unregisteredSince,
    cycled,
    attachesAgo: recentAttaches(attaches, now)
      .slice(-MAX_ATTACHES)
      .map((at) => now - at),
    counts: { ...counts },
  };
}

/**
 * Restores the state of an earlier process. A rung that was being performed is performed again after its back-off. The
 * time between the processes is unknown and counts as none.
 *
 * @returns {@link healthy} for anything that is not a saved state
 */
export function restoreLadder(saved: unknown, now: number): LadderState {
  const { data } = savedSchema.safeParse(saved);
  if (data === undefined) return healthy;
  const { rung, failures, dueIn, rounds, unregisteredFor, cycled, attachesAgo, counts } = data;
  return {
    rung: rung ?? undefined,
    failures,
    dueAt: rung === null ? undefined : now + (dueIn ?? redoAfter(rung)),
    rounds,
    unregisteredSince: unregisteredFor === null ? undefined : now - unregisteredFor,
    cycled,
    attaches: attachesAgo.map((ago) => now - ago),
    counts,
  };
}

/**
 * Returns the delay before a rung is repeated: an agent that a rung kills must not make the SIM attach again and again.
 */
const redoAfter = (rung: Rung): number => Math.max(BACKOFF[rung][0] ?? 0, ATTACHES.includes(rung) ? REDO_ATTACH_MS : 0);
