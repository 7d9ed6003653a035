import { raceTimeout } from '../../shared/async/with-timeout.js';
import { messageOf } from '../../shared/errors.js';
import {
  clockFloor,
  MAX_SEQUENCE_NUMBER,
  NUMBERS_PER_SECOND,
  nextSequenceNumber,
} from '../../shared/oscore/sequence-number.js';
import { createAlarm } from '../base/alarm.js';
import { createBackOff } from '../base/backoff.js';
import type { ClockCheck } from '../base/clock-sync.js';
import type { Log } from '../base/log.js';
import type { NumberStore } from './number-files.js';

/** Numbers that are reserved at a time: eight seconds' worth. */
export const RESERVED_NUMBERS = 8192;
/**
 * The same without a synchronised clock: a second's worth. Each unclean stop skips what is left of them, and an agent that
 * crashes again and again would get ahead of the clock: then numbers that are set back later are not behind it.
 */
export const RESERVED_WITHOUT_CLOCK = 1024;
/** So many numbers that time has left over can be drawn at once: a second's worth. */
const BURST = NUMBERS_PER_SECOND;
/** A number that is further ahead of the clock was drawn when the clock was wrong: waiting for the clock has no use. */
const MOST_AHEAD = RESERVED_NUMBERS + BURST;
/** Interval at which the clock is looked at again. */
const CLOCK_INTERVAL_MS = 60_000;
/** Whether the clock is synchronised must be known after so long; it counts as not synchronised otherwise. */
const CLOCK_ANSWER_MS = 10_000;
/** A write that takes longer hangs: nothing can be drawn until it ends. */
const SLOW_WRITE_MS = 5000;
/** How long a stop may write. What comes later could undo what the next run has written. */
export const STOP_MS = 4000;
/** Most requests that wait for a number, and for how long. */
export const MAX_WAITING = 1024;
export const MAX_WAIT_MS = 15_000;

/**
 * Whether protected messages can be sent: `waiting` is over soon; `unknown` ends when the clock is synchronised; `unwritable`
 * when the state folder can be written; `exhausted` never.
 */
export type NumbersState = 'ready' | 'waiting' | 'unknown' | 'unwritable' | 'exhausted';

/** The device's sequence numbers: one counter for all keys, as all have the same Sender ID. */
export interface SequenceNumbers {
  /** Uses the numbers of a state folder; to be called once nobody else uses that folder. */
  open(store: NumberStore): void;
  /** Draws a number; undefined when none can be drawn now. */
  take(): number | undefined;
  /**
   * Calls `then` once a number can be drawn: it must draw one at once. Calls `giveUp` when none can be drawn for long, too
   * many wait, or {@link MAX_WAIT_MS} have passed.
   */
  wait(then: () => void, giveUp: () => void): void;
  readonly state: NumbersState;
  /**
   * Stores the number that was drawn last; none is drawn afterwards. While the disk hangs it does not settle, and nothing is
   * written any more after {@link STOP_MS}.
   *
   * @returns (resolves to) the number that is stored; undefined where only a higher one is
   */
  stop(): Promise<number | undefined>;
}

export interface NumberOptions {
  readonly isSynchronized: ClockCheck;
  readonly log: Log;
  /** Unix milliseconds. */
  readonly wallNow?: () => number;
  /** The monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** What the next number depends on. */
export interface NumberSituation {
  /** No higher number has been drawn or may have been; undefined where that is not known. */
  readonly last: number | undefined;
  /** The clock's number now; undefined while the clock is not synchronised. */
  readonly clock: number | undefined;
}

/** The next number, when it can be drawn, or why there is none. */
export type NextNumber = { readonly number: number; readonly waitMs: number } | 'unknown' | 'exhausted';

/**
 * Chooses the next number (RFC 8613 §7.2.1): above all that may have been drawn and, while the clock is synchronised, at
 * most a second behind the clock and never ahead of it. So numbers that a later run begins with, at the clock, are above
 * all that were drawn, even where the stored ones were set back.
 */
export function chooseNumber({ last, clock }: NumberSituation): NextNumber {
  const next = nextSequenceNumber(last, clock === undefined ? undefined : Math.max(0, clock - BURST));
  if (typeof next === 'string') return next;
  const ahead = clock === undefined ? 0 : next - clock;
  const isWaitedFor = ahead > 0 && ahead <= MOST_AHEAD;
  return { number: next, waitMs: isWaitedFor ? (ahead * 1000) / NUMBERS_PER_SECOND : 0 };
}

/** A number that can be drawn now, or why there is none, and for how long. */
type Look = { readonly number: number } | { readonly state: NumbersState | 'reserve'; readonly waitMs: number };

/** Tells whether there will be no number for long. */
const isGone = (next: Look): boolean => 'state' in next && (next.state === 'unknown' || next.state === 'exhausted');

interface Waiter {
  readonly then: () => void;
  readonly giveUp: () => void;
  /** In monotonic milliseconds. */
  readonly until: number;
}

export function createSequenceNumbers(options: NumberOptions): SequenceNumbers {
  const { isSynchronized, log, wallNow = Date.now, now = () => performance.now() } = options;
  const backOff = createBackOff();
  const alarm = createAlarm(wake);
  let store: NumberStore | undefined;
  let last: number | undefined;
  /** Numbers below it are reserved on the disk. */
  let reservedBelow = 0;
  let writing: Promise<void> | undefined;
  let writingSince = 0;
  /** After a write has failed: when it is tried again, in monotonic milliseconds. */
  let retryAt: number | undefined;
  /** Undefined until the clock has been looked at. */
  let synchronized: boolean | undefined;
  let followsClock = false;
  let clockTimer: NodeJS.Timeout | undefined;
  /** Numbers that may be drawn at once, where the clock does not limit their rate; and when they were counted. */
  let tokens = BURST;
  let filledAt = now();
  let waiting: Waiter[] = [];
  /** The number that was found for the one who is being called. */
  let offered: number | undefined;
  const ending = new AbortController();

  async function lookAtClock(): Promise<void> {
    const answer = await raceTimeout(CLOCK_ANSWER_MS, askClock(), { signal: ending.signal }).catch(() => false);
    if (isStopped()) return;
    synchronized = answer;
    clockNumber();
    clockTimer = setTimeout(lookAtClock, CLOCK_INTERVAL_MS);
    clockTimer.unref();
    wake();
  }

  const askClock = async () => isSynchronized();

  const isStopped = () => ending.signal.aborted;

  /**
   * The clock's number; undefined while it is not synchronised, or says a time that cannot be: numbers must neither begin at
   * 0 again, nor be used up, because of a clock that is wrong.
   */
  function clockNumber(): number | undefined {
    const clock = synchronized === true ? clockFloor(wallNow()) : 0;
    const isPossible = clock > 0 && clock <= MAX_SEQUENCE_NUMBER;
    // What earlier runs drew is not above the clock; numbers lag behind it only where this run has drawn none.
    if (isPossible && !followsClock) last = Math.max(last ?? 0, clock);
    followsClock = isPossible;
    return isPossible ? clock : undefined;
  }

  /** The clock comes first, as it may change what was drawn last. */
  function choose(): NextNumber {
    const clock = clockNumber();
    return chooseNumber({ last, clock });
  }

  function look(): Look {
    const isBeginning = store === undefined || synchronized === undefined;
    if (isStopped() || isBeginning) return { state: 'waiting', waitMs: MAX_WAIT_MS };
    const next = choose();
    if (typeof next === 'string') return { state: next, waitMs: MAX_WAIT_MS };
    const { number } = next;
    const waitMs = Math.max(next.waitMs, tokenWait());
    if (waitMs > 0) return { state: 'waiting', waitMs };
    return number < reservedBelow ? { number } : { state: 'reserve', waitMs: MAX_WAIT_MS };
  }

  function tokenWait(): number {
    const time = now();
    tokens = Math.min(BURST, tokens + ((time - filledAt) * NUMBERS_PER_SECOND) / 1000);
    filledAt = time;
    return tokens >= 1 ? 0 : ((1 - tokens) * 1000) / NUMBERS_PER_SECOND;
  }

  const reservedAtOnce = () => (followsClock ? RESERVED_NUMBERS : RESERVED_WITHOUT_CLOCK);

  function reserve(): void {
    if (writing !== undefined || store === undefined || now() < (retryAt ?? 0)) return;
    const next = choose();
    if (typeof next === 'string') return;
    const below = next.number + reservedAtOnce();
    writingSince = now();
    writing = store.write({ last: below - 1, isExact: false }).then(
      () => {
        reservedBelow = below;
        retryAt = undefined;
        backOff.reset();
      },
      (error: unknown) => {
        retryAt = now() + backOff.next();
        log.error({ error: messageOf(error) }, 'sequence numbers cannot be stored: nothing protected can be sent');
      },
    );
    void writing.then(() => {
      writing = undefined;
      wake();
    });
  }

  function take(): number | undefined {
    const next = offered === undefined ? look() : { number: offered };
    offered = undefined;
    if ('number' in next) {
      last = next.number;
      tokens--;
      // Further ones are reserved while those are used.
      if (reservedBelow - last < reservedAtOnce() / 2) reserve();
      return last;
    }
    if (next.state === 'reserve') reserve();
    return undefined;
  }

  /** Lets those who wait go on as long as there are numbers, and comes back when there are more. */
  function wake(): void {
    giveUpLate();
    while (waiting.length > 0) {
      const next = look();
      if (isGone(next)) giveUp(waiting.splice(0));
      else if ('number' in next) contain(offering(next.number, waiting.shift()?.then));
      else {
        comeBack(next);
        return;
      }
    }
  }

  function giveUpLate(): void {
    const time = now();
    const isLate = ({ until }: Waiter) => until <= time;
    const late = waiting.filter(isLate);
    if (late.length === 0) return;
    waiting = waiting.filter((waiter) => !isLate(waiter));
    giveUp(late);
  }

  function giveUp(waiters: readonly Waiter[]): void {
    for (const waiter of waiters) contain(waiter.giveUp);
  }

  /** The clock may pass the reservation before the number is drawn: it is there all the same. */
  const offering = (number: number, then: (() => void) | undefined) => () => {
    offered = number;
    try {
      then?.();
    } finally {
      offered = undefined;
    }
  };

  /** A mistake of the agent's own in one request must not hold up the others, nor end the process. */
  function contain(call: (() => void) | undefined): void {
    try {
      call?.();
    } catch (error) {
      log.error({ error: messageOf(error) }, 'internal error');
    }
  }

  function comeBack({ state, waitMs }: Exclude<Look, { number: number }>): void {
    if (state === 'reserve') reserve();
    // A write that is under way calls back itself.
    const dueAt = state === 'reserve' && writing === undefined ? retryAt : undefined;
    alarm.set(dueAt === undefined ? waitMs : dueAt - now());
  }

  async function storeLast(): Promise<number | undefined> {
    if (store === undefined) return undefined;
    const { found } = store;
    await writing;
    // Nothing was drawn.
    if (last === undefined || reservedBelow === 0) return found?.isExact === true ? found.last : undefined;
    try {
      await store.write({ last, isExact: true });
      return last;
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'sequence numbers: the last one cannot be stored');
      return undefined;
    }
  }

  return {
    open(opened) {
      store = opened;
      const { found } = opened;
      if (found !== undefined) last = found.last;
      void lookAtClock();
    },
    take,
    wait(then, giveUp) {
      const next = look();
      if ('number' in next) offering(next.number, then)();
      else if (isStopped() || isGone(next) || waiting.length >= MAX_WAITING) giveUp();
      else {
        waiting.push({ then, giveUp, until: now() + MAX_WAIT_MS });
        comeBack(next);
      }
    },
    get state() {
      const next = look();
      if ('number' in next) return 'ready';
      if (next.state !== 'reserve') return next.state;
      const isHanging = writing !== undefined && now() - writingSince > SLOW_WRITE_MS;
      return retryAt === undefined && !isHanging ? 'ready' : 'unwritable';
    },
    async stop() {
      ending.abort();
      clearTimeout(clockTimer);
      alarm.clear();
      giveUp(waiting.splice(0));
      const closing = setTimeout(() => store?.close(), STOP_MS);
      const stored = await storeLast();
      clearTimeout(closing);
      store?.close();
      return stored;
    },
  };
}
