import { messageOf } from '../../shared/errors.js';
import { clockFloor, NUMBERS_PER_SECOND, nextSequenceNumber } from '../../shared/oscore/sequence-number.js';
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
const RESERVED_WITHOUT_CLOCK = 1024;
/** So many numbers that time has left over can be drawn at once: a second's worth. */
const BURST = NUMBERS_PER_SECOND;
/** A number that is further ahead of the clock was drawn when the clock was wrong: waiting for the clock has no use. */
const MOST_AHEAD = RESERVED_NUMBERS + BURST;
/** Interval at which the clock is looked at again. */
const CLOCK_INTERVAL_MS = 60_000;
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
   * Calls `then` once a number can be drawn: it must draw one at once. Calls it too when it turns out that none can be
   * drawn for long. Gives up after {@link MAX_WAIT_MS}.
   *
   * @returns false when it will not be called: too many wait, or none can be drawn for long
   */
  wait(then: () => void): boolean;
  readonly state: NumbersState;
  /**
   * Stores the number that was drawn last; none is drawn afterwards.
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

const isLong = ({ state }: Exclude<Look, { number: number }>): boolean => state === 'unknown' || state === 'exhausted';

export function createSequenceNumbers(options: NumberOptions): SequenceNumbers {
  const { isSynchronized, log, wallNow = Date.now, now = () => performance.now() } = options;
  const backOff = createBackOff();
  const alarm = createAlarm(wake);
  let store: NumberStore | undefined;
  let last: number | undefined;
  /** Numbers below it are reserved on the disk. */
  let reservedBelow = 0;
  let writing: Promise<void> | undefined;
  /** After a write has failed: when it is tried again, in monotonic milliseconds. */
  let retryAt: number | undefined;
  /** Undefined until the clock has been looked at. */
  let synchronized: boolean | undefined;
  let clockTimer: NodeJS.Timeout | undefined;
  /** Numbers that may be drawn at once, where the clock does not limit their rate; and when they were counted. */
  let tokens = BURST;
  let filledAt = now();
  let waiting: { readonly then: () => void; readonly until: number }[] = [];
  let stopped = false;

  async function lookAtClock(): Promise<void> {
    const answer = await isSynchronized().catch(() => false);
    if (stopped) return;
    // What earlier runs drew is not above the clock; numbers lag behind it only where this run has drawn none.
    if (answer && synchronized !== true) last = Math.max(last ?? 0, clockFloor(wallNow()));
    synchronized = answer;
    clockTimer = setTimeout(lookAtClock, CLOCK_INTERVAL_MS);
    clockTimer.unref();
    wake();
  }

  function look(): Look {
    if (stopped || store === undefined || synchronized === undefined) return { state: 'waiting', waitMs: MAX_WAIT_MS };
    const next = chooseNumber({ last, clock: synchronized ? clockFloor(wallNow()) : undefined });
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

  const reservedAtOnce = () => (synchronized === true ? RESERVED_NUMBERS : RESERVED_WITHOUT_CLOCK);

  function reserve(): void {
    if (writing !== undefined || store === undefined || now() < (retryAt ?? 0)) return;
    const next = chooseNumber({ last, clock: synchronized === true ? clockFloor(wallNow()) : undefined });
    if (typeof next === 'string') return;
    const below = next.number + reservedAtOnce();
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
    const next = look();
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

  /** Lets requests go on as long as there are numbers, or where waiting is in vain; comes back when there are more. */
  function wake(): void {
    const time = now();
    waiting = waiting.filter(({ until }) => until > time);
    while (waiting.length > 0) {
      const next = look();
      if (!('number' in next) && !isLong(next)) {
        comeBack(next);
        return;
      }
      waiting.shift()?.then();
    }
  }

  function comeBack({ state, waitMs }: Exclude<Look, { number: number }>): void {
    if (state === 'reserve') reserve();
    alarm.set(state === 'reserve' && retryAt !== undefined ? retryAt - now() : waitMs);
  }

  async function storeLast(): Promise<number | undefined> {
    if (store === undefined) return undefined;
    const { found } = store;
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
    wait(then) {
      const next = look();
      if ('number' in next) {
        then();
        return true;
      }
      if (stopped || isLong(next) || waiting.length >= MAX_WAITING) return false;
      waiting.push({ then, until: now() + MAX_WAIT_MS });
      comeBack(next);
      return true;
    },
    get state() {
      const next = look();
      if ('number' in next) return 'ready';
      if (next.state !== 'reserve') return next.state;
      return retryAt === undefined ? 'ready' : 'unwritable';
    },
    async stop() {
      stopped = true;
      clearTimeout(clockTimer);
      alarm.clear();
      waiting = [];
      await writing;
      const stored = await storeLast();
      store?.close();
      return stored;
    },
  };
}
