import { milliseconds } from '../../../shared/duration.js';
import { messageOf } from '../../../shared/errors.js';
import type { ManagedAgent } from '../../agent.js';
import type { Log } from '../../base/log.js';
import { createMinuteLog } from '../../base/rate-limited-log.js';
import { createNotify, type Notify } from './notify.js';
import { statusLine } from './status-line.js';
import { startWatchdog, watchdogInterval } from './watchdog.js';

/** How often it is looked whether the status is another. */
const LOOK_MS = 2000;
/** The least between one status and the next: each costs a process. */
const STATUS_MS = 10_000;
/** Before it is tried again to tell that the agent is ready. */
const RETRY_MS = 5000;
/** How long a stop waits for systemd to hear of it. */
const STOP_MS = 1000;
/** What a stop may take besides `limits.stop`: handlers that were told to end do, replies leave, the journal closes. */
const STOP_MARGIN_MS = 20_000;

export interface SystemdOptions {
  readonly agent: Pick<ManagedAgent, 'config' | 'probe' | 'status'>;
  readonly log: Log;
  readonly environment?: NodeJS.ProcessEnv;
  readonly notify?: Notify;
}

/** The agent as systemd's service (`Type=notify`). */
export interface SystemdService {
  /** The agent has started. */
  start(): void;
  /** Tells that the agent is stopping, and how long that may take; nothing more from then on. */
  stop(): Promise<void>;
}

/**
 * Tells systemd how an agent is doing: once it has started and the probe has come back, that it is ready; how it is, on
 * one line; signs of life, where systemd waits for them; and that it stops.
 */
export function createSystemdService(options: SystemdOptions): SystemdService {
  const { agent, log, environment = process.env, notify = createNotify(log) } = options;
  const minuteLog = createMinuteLog(log);
  let shown: string | undefined;
  let shownAt = Number.NEGATIVE_INFINITY;
  /** Until it is ready, to the next try; then from one look at the status to the next. */
  let timer: NodeJS.Timeout | undefined;
  let stopWatchdog: (() => void) | undefined;
  let stopped = false;

  async function becomeReady(): Promise<void> {
    const heard = await tellReady();
    if (stopped) return;
    if (!heard) {
      timer = setTimeout(becomeReady, RETRY_MS);
      return;
    }
    timer = setInterval(renewStatus, LOOK_MS);
    const intervalMs = watchdogInterval(environment);
    if (intervalMs !== undefined) stopWatchdog = startWatchdog({ intervalMs, probe: agent.probe, notify, log });
    log.info({ watchdogMs: intervalMs }, 'systemd knows that the agent is ready');
  }

  async function tellReady(): Promise<boolean> {
    try {
      await agent.probe();
    } catch (error) {
      minuteLog('probe', { error: messageOf(error) }, 'not ready: the probe failed');
      return false;
    }
    return !stopped && showStatus((STATUS) => notify({ READY: '1', STATUS }));
  }

  async function showStatus(tell: (line: string) => Promise<boolean>): Promise<boolean> {
    const line = statusLine(agent.status());
    shownAt = performance.now();
    const heard = await tell(line);
    if (heard) shown = line;
    return heard;
  }

  function renewStatus(): void {
    if (performance.now() - shownAt < STATUS_MS || statusLine(agent.status()) === shown) return;
    void showStatus((STATUS) => notify({ STATUS }));
  }

  /** The unit's TimeoutStopSec is for the `limits.stop` that ships. */
  const longestStop = () => milliseconds(agent.config.limits.stop) + STOP_MARGIN_MS;

  return {
    start() {
      if (!stopped) void becomeReady();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      stopWatchdog?.();
      const late = new Promise((resolve) => setTimeout(resolve, STOP_MS).unref());
      const EXTEND_TIMEOUT_USEC = String(Math.ceil(longestStop() * 1000));
      await Promise.race([notify({ STOPPING: '1', STATUS: 'stopping', EXTEND_TIMEOUT_USEC }), late]);
    },
  };
}
