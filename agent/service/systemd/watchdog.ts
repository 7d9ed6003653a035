import * as z from 'zod';
import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import { createRateLimitedLog } from '../../base/rate-limited-log.js';
import type { Notify } from './notify.js';

/** Signs of life in the time that systemd waits for one: more than two, so that one may get lost. */
const SIGNS = 3;
/** What a timer can wait; it takes more for 1 ms. */
const LONGEST_MS = 2 ** 31 - 1;

const variable = z.coerce.number().pipe(z.int().positive());

export interface WatchdogOptions {
  /** Between one sign of life and the next. */
  readonly intervalMs: number;
  /** Rejects when the pipeline does not work, and never resolves when it is stuck. */
  readonly probe: () => Promise<void>;
  readonly notify: Notify;
  readonly log: Log;
}

/**
 * How often systemd is to be given a sign of life: three times in WATCHDOG_USEC.
 *
 * @returns undefined where it waits for none, or for another process's (WATCHDOG_PID)
 */
export function watchdogInterval(environment: NodeJS.ProcessEnv, pid = process.pid): number | undefined {
  const { WATCHDOG_USEC, WATCHDOG_PID } = environment;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(pid)) return undefined;
  const { data: microseconds } = variable.safeParse(WATCHDOG_USEC);
  return microseconds && Math.min(LONGEST_MS, Math.max(1, Math.floor(microseconds / 1000 / SIGNS)));
}

/**
 * Gives systemd a sign of life as long as the event loop turns and the probe comes back. Then it ends; systemd restarts
 * the agent. The network has no part in it.
 *
 * @returns ends it
 */
export function startWatchdog({ intervalMs, probe, notify, log }: WatchdogOptions): () => void {
  const minuteLog = createRateLimitedLog(log);
  let probing = false;
  let stopped = false;
  const complain = (error: string) => minuteLog('probe', { error }, 'no sign of life for systemd: the probe failed');

  async function beat(): Promise<void> {
    // A second one would wait as long as the first.
    if (probing) {
      complain('it has not come back');
      return;
    }
    probing = true;
    try {
      await probe();
      if (!stopped) void notify({ WATCHDOG: '1' });
    } catch (error) {
      complain(messageOf(error));
    } finally {
      probing = false;
    }
  }

  const timer = setInterval(beat, intervalMs);
  return () => {
    stopped = true;
    clearInterval(timer);
  };
}
