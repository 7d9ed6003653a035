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
/** Waits before the next try of one rung; the last one is for all that follow. */
export const BACKOFF: Readonly<Record<Rung, readonly number[]>> = {
  socket: [0, 1, 2, 5, 10, 30].map((seconds) => seconds * SECOND),
  context: [1, 2, 5, 10, 30].map((seconds) => seconds * SECOND),
  'bring-up': [1, 2, 5, 10, 30].map((seconds) => seconds * SECOND),
  port: [1, 2, 5, 10, 30].map((seconds) => seconds * SECOND),
  airplane: [0],
  reset: [0, 2 * MINUTE, 5 * MINUTE],
  power: [0],
};
/** Between rounds of the upper rungs, when they did not help: the network limits how often a SIM attaches. */
export const RESTS: readonly number[] = [10 * MINUTE, 30 * MINUTE, 60 * MINUTE];
/** How often a rung may fail before the next one is tried. */
const TRIES: Readonly<Record<Rung, number>> = {
  socket: 3,
  context: 5,
  'bring-up': 3,
  port: Number.POSITIVE_INFINITY,
  airplane: 1,
  reset: 3,
  power: 1,
};
/** Each of these makes the SIM attach anew. */
export const ATTACHES: readonly Rung[] = ['context', 'airplane', 'reset', 'power'];
/** Not more attaches in an hour, and not closer together once several have been used. */
export const MAX_ATTACHES = 12;
export const ATTACH_WINDOW_MS = 60 * MINUTE;
/** From 1 to this: devices that lost the network together must not come back together. */
const JITTER = 1.25;

/** How long without registration before the radio is cycled, and before the modem is reset. */
export const AIRPLANE_AFTER_MS = 3 * MINUTE;
export const RESET_AFTER_MS = 15 * MINUTE;

/** Where trouble begins on the ladder; undefined for what is no fault of the link. */
const FIRST: Readonly<Record<ModemFault, Rung | undefined>> = {
  aborted: undefined,
  send: undefined,
  socket: 'socket',
  context: 'context',
  // How long it has lasted decides.
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

export interface State {
  /** What is being done, or waited for; undefined while all is well. */
  readonly rung: Rung | undefined;
  /** How often this rung has failed. */
  readonly failures: number;
  /** When it is to be done; undefined while it is being done. */
  readonly dueAt: number | undefined;
  /** Rounds of the whole ladder that did not help. */
  readonly rounds: number;
  /** Since when the modem is not registered. */
  readonly unregisteredSince: number | undefined;
  /** The radio has been cycled since then. */
  readonly cycled: boolean;
  /** When the SIM was made to attach, of the last hour. */
  readonly attaches: readonly number[];
  /** How often each rung was tried since the beginning. */
  readonly counts: Readonly<Record<Rung, number>>;
}

export type Input =
  /** Something is wrong. While a rung is being done, it has failed with this. */
  | { readonly type: 'trouble'; readonly trouble: ModemFault }
  /** The rung that was to be done is done; whether it helped shows. */
  | { readonly type: 'done' }
  /** The sockets are open and answer. */
  | { readonly type: 'well' }
  /** The modem says whether it is registered. */
  | { readonly type: 'registered'; readonly registered: boolean }
  | { readonly type: 'tick' };

export type Effect =
  /** To be done now, and to be answered with `done` or `trouble`. */
  | { readonly type: 'climb'; readonly rung: Rung }
  /** For the log. */
  | {
      readonly type: 'wait';
      readonly rung: Rung;
      readonly ms: number;
      readonly why: 'back-off' | 'attach-limit' | 'rest';
    };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export const well: State = {
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
 * What an input leads to. It never gives up: after the last rung comes a rest, then the ladder again.
 *
 * @param now milliseconds of a clock that does not jump
 * @param random from 0 to below 1
 */
export function step(state: State, input: Input, now: number, random: number): Step {
  switch (input.type) {
    case 'trouble':
      return trouble(state, input.trouble, now, random);
    case 'done':
      // It is the link's being well again that ends it.
      return stay(state);
    case 'well':
      return stay({ ...well, attaches: recent(state.attaches, now), counts: state.counts });
    case 'registered':
      return registered(state, input.registered, now, random);
    case 'tick':
      return tick(state, now);
  }
}

/** Whether the network's limit allows to make the SIM attach now. */
export const mayAttach = ({ attaches }: State, now: number): boolean => attachWait(recent(attaches, now), now) <= 0;

/** The SIM attaches anew, by something else than a rung of {@link ATTACHES}. */
export const attached = (state: State, now: number): State => ({
  ...state,
  attaches: [...recent(state.attaches, now), now],
});

/** The rung that is being done may not be; `bring-up` is, in its place, which costs no attach. */
export const withheld = (state: State, rung: Rung): State => ({
  ...state,
  attaches: state.attaches.slice(0, -1),
  counts: { ...state.counts, [rung]: state.counts[rung] - 1, 'bring-up': state.counts['bring-up'] + 1 },
});

/** When the next `tick` is due. */
export const wakeAt = ({ dueAt }: State): number => dueAt ?? Number.POSITIVE_INFINITY;

const stay = (state: State): Step => ({ state, effects: [] });
const height = (rung: Rung): number => RUNGS.indexOf(rung);

function trouble(before: State, what: ModemFault, now: number, random: number): Step {
  const state = what === 'registration' ? unregistered(before, now - AIRPLANE_AFTER_MS) : before;
  const first = what === 'registration' ? rungFor(state, now) : FIRST[what];
  if (first === undefined) return stay(state);
  const { rung, dueAt } = state;
  const start = () => plan({ ...state, failures: 0 }, first, now, random);
  if (rung === undefined) return start();
  // Without the port nothing else can be done; once it is back, what is wrong then counts.
  if (first === 'port' && rung !== 'port') return start();
  if (first !== 'port' && rung === 'port') return dueAt === undefined ? start() : stay(state);
  if (height(first) > height(rung)) return start();
  if (dueAt !== undefined) return stay(state);
  // Nothing but a hand helps.
  if (what === 'sim') return rest({ ...state, failures: 0 }, now, random);
  if (what === 'registration' && first === 'bring-up') return start();
  return failed(state, rung, now, random);
}

/** A rung did not help: the same again, or the next. */
function failed(state: State, rung: Rung, now: number, random: number): Step {
  const failures = state.failures + 1;
  if (failures < TRIES[rung]) return plan({ ...state, failures }, rung, now, random);
  const next = NEXT[rung];
  if (next !== undefined) return plan({ ...state, failures: 0 }, next, now, random);
  return rest({ ...state, failures: 0 }, now, random);
}

/** The modem has been without registration for as long as bring-up waits, if nothing else is known. */
const unregistered = (state: State, since: number): State =>
  state.unregisteredSince === undefined ? { ...state, unregisteredSince: since } : state;

/** The radio is cycled once, then the network is left alone until it is time for a reset. */
function rungFor({ unregisteredSince = 0, cycled }: State, now: number): Rung {
  if (now - unregisteredSince >= RESET_AFTER_MS) return 'reset';
  return cycled ? 'bring-up' : 'airplane';
}

/** A rung is to be done after its back-off, and not before the network's limit allows it. */
function plan(state: State, rung: Rung, now: number, random: number): Step {
  const waits = BACKOFF[rung];
  const backOff = jittered(waits[Math.min(state.failures, waits.length - 1)] ?? 0, random);
  const attaches = recent(state.attaches, now);
  const limited = ATTACHES.includes(rung) ? attachWait(attaches, now) : 0;
  const ms = Math.max(backOff, limited);
  const next = { ...state, rung, attaches, dueAt: now + ms };
  if (ms === 0) return tick(next, now);
  return { state: next, effects: [{ type: 'wait', rung, ms, why: limited > backOff ? 'attach-limit' : 'back-off' }] };
}

function rest(state: State, now: number, random: number): Step {
  const ms = jittered(RESTS[Math.min(state.rounds, RESTS.length - 1)] ?? 0, random);
  const next: State = { ...state, rung: 'bring-up', rounds: state.rounds + 1, dueAt: now + ms };
  return { state: next, effects: [{ type: 'wait', rung: 'bring-up', ms, why: 'rest' }] };
}

const jittered = (ms: number, random: number): number => Math.round(ms * (1 + random * (JITTER - 1)));

export const recent = (attaches: readonly number[], now: number): readonly number[] =>
  attaches.filter((at) => now - at < ATTACH_WINDOW_MS);

/** How long until another attach is allowed. */
function attachWait(attaches: readonly number[], now: number): number {
  const oldest = attaches[attaches.length - MAX_ATTACHES];
  return oldest === undefined ? 0 : oldest + ATTACH_WINDOW_MS - now;
}

function tick(state: State, now: number): Step {
  const { rung, dueAt } = state;
  if (rung === undefined || dueAt === undefined || now < dueAt) return stay(state);
  const limited = ATTACHES.includes(rung) ? attachWait(recent(state.attaches, now), now) : 0;
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
      attaches: ATTACHES.includes(rung) ? [...recent(state.attaches, now), now] : state.attaches,
      counts: { ...state.counts, [rung]: state.counts[rung] + 1 },
    },
    effects: [{ type: 'climb', rung }],
  };
}

function registered(before: State, isRegistered: boolean, now: number, random: number): Step {
  if (isRegistered) return stay({ ...before, unregisteredSince: undefined, cycled: false });
  const state = unregistered(before, now);
  const lasted = now - (state.unregisteredSince ?? now);
  if (state.rung !== undefined || lasted < AIRPLANE_AFTER_MS) return stay(state);
  return plan({ ...state, failures: 0 }, rungFor(state, now), now, random);
}
