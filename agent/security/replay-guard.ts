import {
  accept,
  acceptUnseen,
  isFresh,
  isUnseen,
  type ReplayWindow,
  windowFrom,
} from '../../shared/oscore/replay-window.js';
import { ECHO_MS, type EchoValues } from './echo.js';
import type { DeviceKey } from './key-file.js';
import { createSecondLimit } from './second-limit.js';

/**
 * The freshness of a verified request: `fresh`; `replay`, as it was accepted before, or is too old to be known; `unknown`,
 * as the window was lost and Echo has not shown it.
 */
export type Freshness = 'fresh' | 'replay' | 'unknown';

/** The windows that are stored while the agent does not run, by the fingerprint of the key. */
export type StoredWindows = Readonly<Record<string, ReplayWindow>>;

interface Guard {
  /** Whom its Echo values are for: those of a guard before it may have been used. */
  readonly subject: string;
  /** Undefined while it is lost. */
  window: ReplayWindow | undefined;
  /** Until then a number below the floor may be of a request that was never accepted, in monotonic milliseconds. */
  isDoubtfulUntil: number;
  /** The numbers that were answered with a challenge last: each is challenged once. */
  readonly challenged: Set<number>;
  /** The highest number that was answered with a challenge: none up to it runs later without Echo. */
  highestChallenged: number;
  /** Tells whether a lower one may be challenged now, and counts it. */
  readonly mayChallengeLower: () => boolean;
}

/** Most challenged numbers that are remembered: an attacker who has recorded more requests can have them challenged in turn. */
export const MAX_CHALLENGED = 256;
/** Most challenges in a second for numbers that are lower than one before: mostly of requests that were recorded. */
export const MAX_LOWER_CHALLENGES = 16;

export interface ReplayGuard {
  /** Takes the windows of the previous run, which was stopped cleanly; without them all are lost. */
  restore(windows: StoredWindows): void;
  /** Tells whether a number can be fresh at all, before its request is decrypted. */
  mayBeFresh(key: DeviceKey, number: number): boolean;
  /** Judges a request that was verified. @param echo its Echo option (RFC 9175), which it carries encrypted */
  judge(key: DeviceKey, number: number, echo: Uint8Array | undefined): Freshness;
  /** Accepts a request that is `fresh`. */
  accept(key: DeviceKey, number: number): void;
  /**
   * Tells whether a request whose freshness is `unknown` is to be challenged: once, and a number that is lower than one
   * before only at a limited rate. An operator's newest request is always challenged, even while others send old ones again.
   */
  admitChallenge(key: DeviceKey, number: number): boolean;
  /** Takes back what was admitted: the challenge was not sent. */
  withdrawChallenge(key: DeviceKey, number: number): void;
  /** Returns the Echo value of a challenge. */
  echoFor(key: DeviceKey): Buffer;
  /** Tells whether the window of a key is known. */
  isKnown(key: DeviceKey): boolean;
  /** Forgets the windows of other keys. */
  retain(keys: readonly DeviceKey[]): void;
  /** The windows that are known, to be stored at a clean stop. */
  readonly windows: StoredWindows;
}

/**
 * Keeps the replay window of each key (RFC 8613 §7.4). A lost window begins anew with a request that Echo shows to be fresh
 * (RFC 8613 Appendix B.1.2). Of several requests that were challenged at once, each is let in by its own Echo.
 *
 * @param now the monotonic clock in milliseconds
 */
export function createReplayGuard(echoes: EchoValues, now: () => number = () => performance.now()): ReplayGuard {
  const guards = new Map<string, Guard>();
  let made = 0;

  function guardOf({ fingerprint }: DeviceKey): Guard {
    return guards.get(fingerprint) ?? addGuard(fingerprint, undefined);
  }

  function addGuard(fingerprint: string, window: ReplayWindow | undefined): Guard {
    const added: Guard = {
      subject: `key ${fingerprint} ${made++}`,
      window,
      isDoubtfulUntil: 0,
      challenged: new Set(),
      highestChallenged: -1,
      mayChallengeLower: createSecondLimit(MAX_LOWER_CHALLENGES, now),
    };
    guards.set(fingerprint, added);
    return added;
  }

  const mayChallenge = ({ highestChallenged, mayChallengeLower }: Guard, number: number): boolean =>
    number > highestChallenged || mayChallengeLower();

  const isShownFresh = ({ subject }: Guard, echo: Uint8Array | undefined) =>
    echo !== undefined && echoes.isOurs(subject, echo);

  return {
    restore(windows) {
      for (const [fingerprint, window] of Object.entries(windows)) addGuard(fingerprint, window);
    },
    mayBeFresh(key, number) {
      const { window, isDoubtfulUntil, challenged } = guardOf(key);
      // Its sender goes on with another number; the same datagram would be answered from memory.
      if (challenged.has(number)) return false;
      if (window === undefined || isFresh(window, number)) return true;
      return now() < isDoubtfulUntil && isUnseen(window, number);
    },
    judge(key, number, echo) {
      const guard = guardOf(key);
      const { window, isDoubtfulUntil } = guard;
      if (window === undefined) return isShownFresh(guard, echo) ? 'fresh' : 'unknown';
      if (isFresh(window, number)) return 'fresh';
      if (now() >= isDoubtfulUntil || !isUnseen(window, number)) return 'replay';
      return isShownFresh(guard, echo) ? 'fresh' : 'unknown';
    },
    accept(key, number) {
      const guard = guardOf(key);
      if (guard.window === undefined) {
        const { floor, numbers } = windowFrom(number);
        guard.window = { floor: Math.max(floor, guard.highestChallenged + 1), numbers };
        guard.isDoubtfulUntil = now() + ECHO_MS;
      } else if (isFresh(guard.window, number)) guard.window = accept(guard.window, number);
      else guard.window = acceptUnseen(guard.window, number);
    },
    admitChallenge(key, number) {
      const guard = guardOf(key);
      if (guard.challenged.has(number) || !mayChallenge(guard, number)) return false;
      guard.highestChallenged = Math.max(guard.highestChallenged, number);
      guard.challenged.add(number);
      const [oldest] = guard.challenged;
      if (guard.challenged.size > MAX_CHALLENGED && oldest !== undefined) guard.challenged.delete(oldest);
      return true;
    },
    withdrawChallenge: (key, number) => void guardOf(key).challenged.delete(number),
    echoFor: (key) => echoes.valueFor(guardOf(key).subject),
    isKnown: (key) => guardOf(key).window !== undefined,
    retain(keys) {
      const wanted = new Set(keys.map(({ fingerprint }) => fingerprint));
      for (const fingerprint of guards.keys()) if (!wanted.has(fingerprint)) guards.delete(fingerprint);
    },
    get windows() {
      const known: Record<string, ReplayWindow> = {};
      for (const [fingerprint, { window }] of guards) if (window !== undefined) known[fingerprint] = window;
      return known;
    },
  };
}
