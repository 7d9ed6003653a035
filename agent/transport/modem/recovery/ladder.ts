import type { Rung } from '../../transport.js';
import type { ModemFault } from '../at/script.js';

/** All rungs, the mildest first. */
export const RUNGS = [
  'socket',
  'context',
  'bring-up',
  'port',
  'airplane',
  'reset',
  'power',
] as const satisfies readonly Rung[];

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** Delays before the next attempt of a rung; the last one is for all further attempts. */
export const BACKOFF: Readonly<Record<Rung, readonly number[]>> = {
  socket: [0, 1, 2, 5, 10, 30].map((seconds) => seconds * SECOND),
  context: [1, 2, 5, 10, 30].map((seconds) => seconds * SECOND),
  'bring-up': [1, 2, 5, 10, 30].map((seconds) => seconds * SECOND),
  port: [1, 2, 5, 10, 30].map((seconds) => seconds * SECOND),
  airplane: [0],
  reset: [0, 2 * MINUTE, 5 * MINUTE],
  power: [0],
};
/** Delays between rounds of the ladder that did not help: the network limits how often a SIM attaches. */
export const RESTS: readonly number[] = [10 * MINUTE, 30 * MINUTE, 60 * MINUTE];
/** Attempts of a rung before the next one. */
const ATTEMPTS: Readonly<Record<Rung, number>> = {
  socket: 3,
  context: 5,
  'bring-up': 3,
  port: Number.POSITIVE_INFINITY,
  airplane: 1,
  reset: 3,
  power: 1,
};
/** Rungs that make the SIM attach again. */
export const ATTACHES: readonly Rung[] = ['context', 'airplane', 'reset', 'power'];
/** Most attaches in {@link ATTACH_WINDOW_MS}. */
export const MAX_ATTACHES = 12;
export const ATTACH_WINDOW_MS = 60 * MINUTE;
/** Delays are multiplied by 1 to this at random: devices that lost the network together must not return together. */
const JITTER = 1.25;

/** Time without registration until the radio is cycled, and until the modem is reset. */
export const AIRPLANE_AFTER_MS = 3 * MINUTE;
export const RESET_AFTER_MS = 15 * MINUTE;

/** The first rung for a fault; undefined for what is no fault of the link. */
const FIRST: Readonly<Record<ModemFault, Rung | undefined>> = {
  aborted: undefined,
  send: undefined,
  socket: 'socket',
  context: 'context',
  // Depends on how long it has lasted: see rungFor.
  registration: 'airplane',
  refused: 'bring-up',
  reset: 'bring-up',
  silent: 'bring-up',
  closed: 'port',
  sim: 'bring-up',
};
const NEXT: Readonly<Record<Rung, Rung | undefined>> = {
  socket: 'context',
  context: 'airplane',
  'bring-up': 'reset',
  port: undefined,
  airplane: 'reset',
  reset: 'power',
  power: undefined,
};

export interface LadderState {
  /** The rung that is performed or waited for; undefined while the link is healthy. */
  readonly rung: Rung | undefined;
  /** Failures of this rung in a row. */
  readonly failures: number;
  /** When it is to be performed; undefined while it is performed. */
  readonly dueAt: number | undefined;
  /** Rounds of the whole ladder without success. */
  readonly rounds: number;
  /** Since when the modem is not registered. */
  readonly unregisteredSince: number | undefined;
  /** Whether the radio was cycled since then. */
  readonly cycled: boolean;
  /** Times of the attaches within {@link ATTACH_WINDOW_MS}. */
  readonly attaches: readonly number[];
  /** How often each rung was performed, over all restarts. */
  readonly counts: Readonly<Record<Rung, number>>;
}

export type LadderInput =
  /** A fault occurred. While a rung is performed, it has failed with this fault. */
  | { readonly type: 'fault'; readonly fault: ModemFault }
  /** The rung was performed; whether it helped is not known yet. */
  | { readonly type: 'done' }
  /** The sockets are open and answer. */
  | { readonly type: 'healthy' }
  /** The modem reports whether it is registered. */
  | { readonly type: 'registered'; readonly registered: boolean }
  | { readonly type: 'tick' };

export type LadderEffect =
  /** Perform this rung now; `done` or `fault` follows. */
  | { readonly type: 'climb'; readonly rung: Rung }
  /** A delay before this rung, for the log. */
  | {
      readonly type: 'wait';
      readonly rung: Rung;
      readonly ms: number;
      readonly why: 'back-off' | 'attach-limit' | 'rest';
    };

export interface LadderStep {
  readonly state: LadderState;
  readonly effects: readonly LadderEffect[];
}

export const healthy: LadderState = {
  rung: undefined,
  failures: 0,
  dueAt: undefined,
  rounds: 0,
  unregisteredSince: undefined,
  cycled: false,
  attaches: [],
  counts: { socket: 0, context: 0, 'bring-up': 0, port: 0, airplane: 0, reset: 0, power: 0 },
};

/**
 * Returns the next state and its effects. The ladder never ends: after the last rung and a rest it starts again.
 *
 * @param now monotonic clock in milliseconds
 * @param random from 0 to below 1
 */
export function stepLadder(state: LadderState, input: LadderInput, now: number, random: number): LadderStep {
  switch (input.type) {
    case 'fault':
      return takeFault(state, input.fault, now, random);
    case 'done':
      // Only `healthy` ends the recovery.
      return stay(state);
    case 'healthy':
      return stay({ ...healthy, attaches: recentAttaches(state.attaches, now), counts: state.counts });
    case 'registered':
      return registered(state, input.registered, now, random);
    case 'tick':
      return tick(state, now);
  }
}

/** Whether the limit of attaches allows one now. */
export const mayAttach = ({ attaches }: LadderState, now: number): boolean =>
  attachWait(recentAttaches(attaches, now), now) <= 0;

/** Counts an attach that was not caused by a rung of {@link ATTACHES}. */
export const countAttach = (state: LadderState, now: number): LadderState => ({
  ...state,
  attaches: [...recentAttaches(state.attaches, now), now],
});

/** Replaces the current rung, which may not be performed now, by `bring-up`, which costs no attach. */
export const deferRung = (state: LadderState, rung: Rung): LadderState => ({
  ...state,
  attaches: state.attaches.slice(0, -1),
  counts: { ...state.counts, [rung]: state.counts[rung] - 1, 'bring-up': state.counts['bring-up'] + 1 },
});

/** Returns when the next `tick` is due. */
export const wakeAt = ({ dueAt }: LadderState): number => dueAt ?? Number.POSITIVE_INFINITY;

const stay = (state: LadderState): LadderStep => ({ state, effects: [] });
const height = (rung: Rung): number => RUNGS.indexOf(rung);

function takeFault(before: LadderState, fault: ModemFault, now: number, random: number): LadderStep {
  const state = fault === 'registration' ? unregistered(before, now - AIRPLANE_AFTER_MS) : before;
  const first = fault === 'registration' ? rungFor(state, now) : FIRST[fault];
  if (first === undefined) return stay(state);
  const { rung, dueAt } = state;
  const start = () => plan({ ...state, failures: 0 }, first, now, random);
  if (rung === undefined) return start();
  // Without the port no other rung can be performed; once it is open, the next fault counts.
  if (first === 'port' && rung !== 'port') return start();
  if (first !== 'port' && rung === 'port') return dueAt === undefined ? start() : stay(state);
  if (height(first) > height(rung)) return start();
  if (dueAt !== undefined) return stay(state);
  // Only a person can help.
  if (fault === 'sim') return rest({ ...state, failures: 0 }, now, random);
  if (fault === 'registration' && first === 'bring-up') return start();
  return failed(state, rung, now, random);
}

/** The rung failed: plans its next attempt, or the next rung. */
function failed(state: LadderState, rung: Rung, now: number, random: number): LadderStep {
  const failures = state.failures + 1;
  if (failures < ATTEMPTS[rung]) return plan({ ...state, failures }, rung, now, random);
  const next = NEXT[rung];
  if (next !== undefined) return plan({ ...state, failures: 0 }, next, now, random);
  return rest({ ...state, failures: 0 }, now, random);
}

/** Sets since when the modem is without registration, unless that is known. */
const unregistered = (state: LadderState, since: number): LadderState =>
  state.unregisteredSince === undefined ? { ...state, unregisteredSince: since } : state;

/**
 * Returns the rung for a missing registration: the radio is cycled once, then the modem is reset after a longer wait.
 */
function rungFor({ unregisteredSince = 0, cycled }: LadderState, now: number): Rung {
  if (now - unregisteredSince >= RESET_AFTER_MS) return 'reset';
  return cycled ? 'bring-up' : 'airplane';
}

/** Plans a rung after its back-off, and not before the limit of attaches allows it. */
function plan(state: LadderState, rung: Rung, now: number, random: number): LadderStep {
  const waits = BACKOFF[rung];
  const backOff = jittered(waits[Math.min(state.failures, waits.length - 1)] ?? 0, random);
  const attaches = recentAttaches(state.attaches, now);
  const limited = ATTACHES.includes(rung) ? attachWait(attaches, now) : 0;
  const ms = Math.max(backOff, limited);
  const next = { ...state, rung, attaches, dueAt: now + ms };
  if (ms === 0) return tick(next, now);
  return { state: next, effects: [{ type: 'wait', rung, ms, why: limited > backOff ? 'attach-limit' : 'back-off' }] };
}

function rest(state: LadderState, now: number, random: number): LadderStep {
  const ms = jittered(RESTS[Math.min(state.rounds, RESTS.length - 1)] ?? 0, random);
  const next: LadderState = { ...state, rung: 'bring-up', rounds: state.rounds + 1, dueAt: now + ms };
  return { state: next, effects: [{ type: 'wait', rung: 'bring-up', ms, why: 'rest' }] };
}

const jittered = (ms: number, random: number): number => Math.round(ms * (1 + random * (JITTER - 1)));

export const recentAttaches = (attaches: readonly number[], now: number): readonly number[] =>
  attaches.filter((at) => now - at < ATTACH_WINDOW_MS);

/** Returns the time until another attach is allowed. */
function attachWait(attaches: readonly number[], now: number): number {
  const oldest = attaches[attaches.length - MAX_ATTACHES];
  return oldest === undefined ? 0 : oldest + ATTACH_WINDOW_MS - now;
}

function tick(state: LadderState, now: number): LadderStep {
  const { rung, dueAt } = state;
  if (rung === undefined || dueAt === undefined || now < dueAt) return stay(state);
  const limited = ATTACHES.includes(rung) ? attachWait(recentAttaches(state.attaches, now), now) : 0;
  if (limited > 0) {
    return {
      state: { ...state, dueAt: now + limited },
      effects: [{ type: 'wait', rung, ms: limited, why: 'attach-limit' }],
    };
  }
  return {
    state: {
      ...state,
      dueAt: undefined,
      cycled: state.cycled || rung === 'airplane',
      attaches: ATTACHES.includes(rung) ? [...recentAttaches(state.attaches, now), now] : state.attaches,
      counts: { ...state.counts, [rung]: state.counts[rung] + 1 },
    },
    effects: [{ type: 'climb', rung }],
  };
}

function registered(before: LadderState, isRegistered: boolean, now: number, random: number): LadderStep {
  if (isRegistered) return stay({ ...before, unregisteredSince: undefined, cycled: false });
  const state = unregistered(before, now);
  const lasted = now - (state.unregisteredSince ?? now);
  if (state.rung !== undefined || lasted < AIRPLANE_AFTER_MS) return stay(state);
  return plan({ ...state, failures: 0 }, rungFor(state, now), now, random);
}
