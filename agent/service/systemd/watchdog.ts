import * as z from 'zod';
import { messageOf } from '../../../shared/errors.js';
import { createRateLimitedLog, type Log } from '../../base/log.js';
import type { Notify } from './notify.js';

/** Keep-alives per watchdog time-out: more than two, so that one may be lost. */
const KEEPALIVES = 3;
/** Longest delay of a Node timer; longer ones fire after 1 ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

const variable = z.coerce.number().pipe(z.int().positive());

export interface WatchdogOptions {
  /** Interval between keep-alives. */
  readonly intervalMs: number;
  /** Rejects when the pipeline fails; may never settle when it hangs. */
  readonly probe: () => Promise<void>;
  readonly notify: Notify;
  readonly log: Log;
}

/**
 * Returns the interval between keep-alives: a third of WATCHDOG_USEC.
 *
 * @returns undefined where the watchdog is off, or watches another process (WATCHDOG_PID)
 */
export function watchdogInterval(environment: NodeJS.ProcessEnv, pid = process.pid): number | undefined {
  const { WATCHDOG_USEC, WATCHDOG_PID } = environment;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(pid)) return undefined;
  const { data: microseconds } = variable.safeParse(WATCHDOG_USEC);
  return microseconds && Math.min(MAX_TIMER_MS, Math.max(1, Math.floor(microseconds / 1000 / KEEPALIVES)));
}

/**
 * Sends keep-alives to systemd while the event loop runs and the probe succeeds; without them systemd restarts the
 * agent. Independent of the network.
 *
 * @returns a function that stops it
 */
export function startWatchdog({ intervalMs, probe, notify, log }: WatchdogOptions): () => void {
  const minuteLog = createRateLimitedLog(log);
  let probing = false;
  let stopped = false;
  const report = (error: string) => minuteLog('probe', { error }, 'watchdog: probe failed, no keep-alive sent');

  async function keepAlive(): Promise<void> {
    // A second probe would hang like the first.
    if (probing) {
      report('the previous probe has not settled');
      return;
    }
    probing = true;
    try {
      await probe();
      if (!stopped) void notify({ WATCHDOG: '1' });
    } catch (error) {
      report(messageOf(error));
    } finally {
      probing = false;
    }
  }

  const timer = setInterval(keepAlive, intervalMs);
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}
