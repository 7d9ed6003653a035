import { isSupersimError, messageOf } from '../../../../shared/errors.js';
import { createAlarm } from '../../../base/alarm.js';
import type { ModemFile } from '../../../base/json-file.js';
import type { Log } from '../../../base/log.js';
import { createMinuteLog } from '../../../base/rate-limited-log.js';
import type { Rung } from '../../transport.js';
import { type ModemFault, ModemFaultError } from '../at/script.js';
import type { RadioPermit } from '../scripts/bring-up.js';
import { attached, type Effect, type Input, mayAttach, type State, step, wakeAt, well, withheld } from './ladder.js';
import { restore, save } from './ladder-store.js';

/** These take the modem off the air, and with it whatever else it carries. */
const INTERRUPTING: readonly Rung[] = ['airplane', 'reset', 'power'];

export interface RecoveryOptions {
  /** Does a rung until the sockets are open. @throws ModemFaultError */
  readonly act: (rung: Rung, permit: RadioPermit) => Promise<void>;
  /** The link is well, or it is not any more. */
  readonly changed: (isWell: boolean) => void;
  readonly file: ModemFile;
  /** What the file had at the start. */
  readonly saved: unknown;
  /** Whether it may take the modem off the air. */
  readonly mayInterrupt: () => boolean;
  /** How much faster than usual time passes: more than 1 in tests. */
  readonly pace: number;
}

/** Climbs the ladder: one rung at a time, each logged, counted, and noted in the file before it is done. */
export function createRecovery({ act, changed, file, saved, mayInterrupt, pace }: RecoveryOptions, log: Log) {
  const minuteLog = createMinuteLog(log);
  const now = () => performance.now() * pace;
  let state: State = restore(saved, now());
  const alarm = createAlarm(() => feed({ type: 'tick' }));
  let stopped = false;
  let isWell = false;
  let working = false;
  let doing: Rung | undefined;
  /** What is to be done if that which is being done does not help. */
  let next: Rung | undefined;
  /** What has happened to the modem while a rung was being done. */
  let late: { readonly trouble: ModemFault; readonly why: string } | undefined;
  let last: { readonly trouble: ModemFault; readonly why: string } | undefined;
  /** A rung was not done, or settings not made, because the modem may not be taken off the air. */
  let isWithheld = false;
  let timesWithheld = 0;
  /** The SIM said so while a rung was being done. */
  let isSimReady = false;
  const permit: RadioPermit = {
    allowed() {
      if (!mayInterrupt()) isWithheld = true;
      return mayInterrupt() && mayAttach(state, now());
    },
    used() {
      state = attached(state, now());
      void file.write(save(state, now()));
    },
  };

  function feed(input: Input): void {
    if (stopped) return;
    const { state: after, effects } = step(state, input, now(), Math.random());
    state = after;
    for (const effect of effects) {
      if (effect.type === 'climb') climb(effect.rung);
      else logWait(effect);
    }
    schedule();
  }

  function logWait({ rung, ms, why }: Extract<Effect, { type: 'wait' }>): void {
    if (why === 'back-off') log.debug({ rung, ms, why }, 'modem recovery waits');
    else log.warn({ rung, ms, why, trouble: last?.trouble, reason: last?.why }, 'modem recovery waits');
  }

  function schedule(): void {
    if (stopped) alarm.clear();
    else alarm.set((wakeAt(state) - now()) / pace);
  }

  function climb(rung: Rung): void {
    const { trouble, why } = last ?? {};
    minuteLog(rung, { rung, times: state.counts[rung], trouble, why }, 'modem recovery');
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
    if (failure?.trouble === 'sim' && isSimReady) return work('bring-up');
    if (failure !== undefined) {
      take(failure.trouble, failure.why);
      // Meanwhile it was allowed.
      if (mayInterrupt()) retryWithheld();
      return;
    }
    isWithheld = false;
    last = undefined;
    feed({ type: 'well' });
    await file.write(save(state, now()));
    if (!stopped && !working && state.rung === undefined) setWell(true);
  }

  async function tryRung(rung: Rung): Promise<typeof late> {
    try {
      doing = rung;
      if (INTERRUPTING.includes(rung) && !mayInterrupt()) withhold(rung);
      await file.write(save(state, now()));
      if (stopped) return undefined;
      await act(doing, permit);
      return undefined;
    } catch (error) {
      if (!(error instanceof ModemFaultError) && !isSupersimError(error)) {
        log.error({ rung, error: messageOf(error) }, 'modem recovery failed');
      }
      return { trouble: faultOf(error), why: messageOf(error) };
    }
  }

  function withhold(rung: Rung): void {
    isWithheld = true;
    timesWithheld++;
    state = withheld(state, rung);
    doing = 'bring-up';
    minuteLog('withheld', { rung }, 'modem recovery: not done while UDP works, which the same modem may carry');
  }

  function retryWithheld(): void {
    if (!isWithheld || working || last === undefined) return;
    isWithheld = false;
    const { attaches, counts, unregisteredSince } = state;
    state = { ...well, attaches, counts, unregisteredSince };
    feed({ type: 'trouble', trouble: last.trouble });
  }

  function take(trouble: ModemFault, why: string): void {
    last = { trouble, why };
    feed({ type: 'trouble', trouble });
    if (state.rung !== undefined) setWell(false);
  }

  function setWell(nowWell: boolean): void {
    if (isWell === nowWell) return;
    isWell = nowWell;
    changed(nowWell);
  }

  schedule();
  return {
    /** The port is open: without waiting for anything the modem is brought up. */
    begin(): void {
      if (!working && !stopped) void work('port');
    },

    /** Something is wrong that nobody has caused. */
    trouble(trouble: ModemFault, why: string): void {
      if (stopped) return;
      if (!working) take(trouble, why);
      // Of the others the rung itself is the cause, or it fails with them.
      else if (trouble === 'socket' || (trouble === 'reset' && doing !== 'reset')) late = { trouble, why };
    },

    /** The SIM has been unlocked, or put in: nothing has to be waited for any more. */
    simReady(): void {
      if (working) isSimReady = true;
      else if (!stopped && last?.trouble === 'sim') void work('bring-up');
    },

    registered(registered: boolean): void {
      if (!working) feed({ type: 'registered', registered });
      if (state.rung !== undefined) setWell(false);
    },

    /** It may take the modem off the air now: what was withheld gets its turn. */
    mayInterruptNow: retryWithheld,

    isWell: (): boolean => isWell,
    /** Why the link is not well. */
    reason: (): string | undefined => last?.why,
    rung: (): Rung | undefined => state.rung,
    counts: (): Readonly<Record<Rung, number>> => state.counts,
    timesWithheld: (): number => timesWithheld,

    stop(): void {
      stopped = true;
      alarm.clear();
    },
  };
}

function faultOf(error: unknown): ModemFault {
  if (error instanceof ModemFaultError) return error.trouble;
  // Another modem is for somebody's hands, as another SIM is.
  return isSupersimError(error, 'modem-unknown') ? 'sim' : 'refused';
}
