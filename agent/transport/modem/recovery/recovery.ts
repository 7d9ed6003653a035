import { isSupersimError, messageOf } from '../../../../shared/errors.js';
import { createAlarm } from '../../../base/alarm.js';
import type { JsonFile } from '../../../base/json-file.js';
import { createRateLimitedLog, type Log } from '../../../base/log.js';
import type { Rung } from '../../transport.js';
import { type ModemFault, ModemFaultError } from '../at/script.js';
import type { RadioPermit } from '../scripts/bring-up.js';
import {
  countAttach,
  deferRung,
  healthy,
  type LadderEffect,
  type LadderInput,
  type LadderState,
  mayAttach,
  stepLadder,
  wakeAt,
} from './ladder.js';
import { restoreLadder, saveLadder } from './ladder-store.js';

/** Rungs that switch the radio off, and so cut whatever else the modem carries. */
const INTERRUPTING: readonly Rung[] = ['airplane', 'reset', 'power'];

export interface RecoveryOptions {
  /** Performs a rung and what follows it until the sockets are open. @throws ModemFaultError */
  readonly perform: (rung: Rung, permit: RadioPermit) => Promise<void>;
  /** Called when the link becomes healthy or fails. */
  readonly onHealthChange: (isHealthy: boolean) => void;
  readonly file: JsonFile;
  /** The file's object at start. */
  readonly saved: unknown;
  /** Whether the radio may be switched off. */
  readonly mayInterrupt: () => boolean;
  /** How much faster than usual time passes: more than 1 in tests. */
  readonly pace: number;
}

interface Failure {
  readonly fault: ModemFault;
  readonly reason: string;
}

/**
 * Runs the recovery ladder: one rung at a time, each logged, counted, and stored in the file before it is performed.
 */
export function createRecovery(options: RecoveryOptions, log: Log) {
  const { perform, onHealthChange, file, saved, mayInterrupt, pace } = options;
  const rateLimitedLog = createRateLimitedLog(log);
  const now = () => performance.now() * pace;
  let state: LadderState = restoreLadder(saved, now());
  const alarm = createAlarm(() => feed({ type: 'tick' }));
  let stopped = false;
  let isHealthy = false;
  let working = false;
  let current: Rung | undefined;
  /** The rung to perform if the current one fails. */
  let next: Rung | undefined;
  /** A fault of the modem while a rung was performed. */
  let late: Failure | undefined;
  let last: Failure | undefined;
  /** A rung or a setting was deferred because the radio may not be switched off. */
  let isDeferred = false;
  let deferredCount = 0;
  /** The SIM became ready while a rung was performed. */
  let isSimReady = false;
  const permit: RadioPermit = {
    allowed() {
      if (!mayInterrupt()) isDeferred = true;
      return mayInterrupt() && mayAttach(state, now());
    },
    used() {
      state = countAttach(state, now());
      void file.write(saveLadder(state, now()));
    },
  };

  function feed(input: LadderInput): void {
    if (stopped) return;
    const { state: after, effects } = stepLadder(state, input, now(), Math.random());
    state = after;
    for (const effect of effects) {
      if (effect.type === 'climb') climb(effect.rung);
      else logWait(effect);
    }
    schedule();
  }

  function logWait({ rung, ms, why }: Extract<LadderEffect, { type: 'wait' }>): void {
    if (why === 'back-off') log.debug({ rung, ms, why }, 'modem recovery waits');
    else log.warn({ rung, ms, why, trouble: last?.fault, reason: last?.reason }, 'modem recovery waits');
  }

  function schedule(): void {
    if (stopped) alarm.clear();
    else alarm.set((wakeAt(state) - now()) / pace);
  }

  function climb(rung: Rung): void {
    const { fault, reason } = last ?? {};
    rateLimitedLog(rung, { rung, times: state.counts[rung], trouble: fault, why: reason }, 'modem recovery');
    if (working) next = rung;
    else void work(rung);
  }

  async function work(rung: Rung): Promise<void> {
    working = true;
    late = undefined;
    isSimReady = false;
    let failure = await tryRung(rung);
    working = false;
    if (stopped) return;
    const waiting = next;
    next = undefined;
    failure ??= late;
    if (failure !== undefined && waiting !== undefined) return work(waiting);
    if (failure?.fault === 'sim' && isSimReady) return work('bring-up');
    if (failure !== undefined) {
      take(failure);
      // The radio may have been released while the rung was performed.
      if (mayInterrupt()) retryDeferred();
      return;
    }
    isDeferred = false;
    last = undefined;
    feed({ type: 'healthy' });
    await file.write(saveLadder(state, now()));
    if (!stopped && !working && state.rung === undefined) setHealthy(true);
  }

  async function tryRung(rung: Rung): Promise<Failure | undefined> {
    try {
      current = rung;
      if (INTERRUPTING.includes(rung) && !mayInterrupt()) defer(rung);
      await file.write(saveLadder(state, now()));
      if (stopped) return undefined;
      await perform(current, permit);
      return undefined;
    } catch (error) {
      if (!(error instanceof ModemFaultError) && !isSupersimError(error)) {
        log.error({ rung, error: messageOf(error) }, 'modem recovery failed');
      }
      return { fault: faultOf(error), reason: messageOf(error) };
    }
  }

  function defer(rung: Rung): void {
    isDeferred = true;
    deferredCount++;
    state = deferRung(state, rung);
    current = 'bring-up';
    rateLimitedLog(
      'deferred',
      { rung },
      'modem recovery: deferred while UDP is in use, which the same modem may carry',
    );
  }

  function retryDeferred(): void {
    if (!isDeferred || working || last === undefined) return;
    isDeferred = false;
    const { attaches, counts, unregisteredSince } = state;
    state = { ...healthy, attaches, counts, unregisteredSince };
    feed({ type: 'fault', fault: last.fault });
  }

  function take(failure: Failure): void {
    last = failure;
    feed({ type: 'fault', fault: failure.fault });
    if (state.rung !== undefined) setHealthy(false);
  }

  function setHealthy(nowHealthy: boolean): void {
    if (isHealthy === nowHealthy) return;
    isHealthy = nowHealthy;
    onHealthChange(nowHealthy);
  }

  schedule();
  return {
    /** The port is open: brings the modem up without a delay. */
    begin(): void {
      if (!working && !stopped) void work('port');
    },

    /** Reports a fault that no rung has caused. */
    report(fault: ModemFault, reason: string): void {
      if (stopped) return;
      if (!working) take({ fault, reason });
      // The rung itself causes the other faults, or fails with them.
      else if (fault === 'socket' || (fault === 'reset' && current !== 'reset')) late = { fault, reason };
    },

    /** The SIM was unlocked or inserted: the modem is brought up without a delay. */
    simReady(): void {
      if (working) isSimReady = true;
      else if (!stopped && last?.fault === 'sim') void work('bring-up');
    },

    registered(registered: boolean): void {
      if (!working) feed({ type: 'registered', registered });
      if (state.rung !== undefined) setHealthy(false);
    },

    /** The radio may be switched off now: retries what was deferred. */
    interruptionAllowed: retryDeferred,

    isHealthy: (): boolean => isHealthy,
    /** Returns why the link is not healthy. */
    reason: (): string | undefined => last?.reason,
    rung: (): Rung | undefined => state.rung,
    counts: (): Readonly<Record<Rung, number>> => state.counts,
    deferredCount: (): number => deferredCount,

    stop(): void {
      stopped = true;
      alarm.clear();
    },
  };
}

function faultOf(error: unknown): ModemFault {
  if (error instanceof ModemFaultError) return error.fault;
  // An unsupported modem needs a person, as a SIM that asks for its PIN does.
  return isSupersimError(error, 'modem-unknown') ? 'sim' : 'refused';
}
