import { milliseconds } from '../../../shared/duration.js';
import { messageOf } from '../../../shared/errors.js';
import { createRateLimitedLog, type Log } from '../../base/log.js';
import type { Config } from '../../config/schema.js';
import type { AgentStatus } from '../../status.js';
import { createNotify, type Notify } from './notify.js';
import { statusLine } from './status-line.js';
import { startWatchdog, watchdogInterval } from './watchdog.js';

/** Interval between comparisons of the status. */
const STATUS_CHECK_MS = 2000;
/** Minimum interval between status notifications: each costs a process. */
const MIN_STATUS_INTERVAL_MS = 10_000;
/** Interval between attempts to become ready. */
const RETRY_MS = 5000;
/** How long a stop waits for its notification. */
const STOP_MS = 1000;
/** Time for a stop beyond `limits.stop`: killed handlers end, replies are sent, the journal is closed. */
const STOP_MARGIN_MS = 20_000;

/** The parts of an agent that systemd supervises. */
export interface SupervisedAgent {
  readonly config: { readonly limits: Pick<Config['limits'], 'stop'> };
  /** Rejects when the pipeline fails; may never settle when it hangs. */
  probe(): Promise<void>;
  status(): AgentStatus;
}

export interface SystemdOptions {
  readonly agent: SupervisedAgent;
  readonly log: Log;
  readonly environment?: NodeJS.ProcessEnv;
  readonly notify?: Notify;
}

/** The notifications of a service of `Type=notify`. */
export interface SystemdService {
  /** Call it once the agent has started. */
  start(): void;
  /** Notifies systemd that the agent stops, and how long that may take. Sends nothing afterwards. */
  stop(): Promise<void>;
}

/**
 * Notifies systemd of an agent's state: ready once the first probe succeeds, then a status line, keep-alives where the
 * watchdog is enabled, and stopping.
 */
export function createSystemdService(options: SystemdOptions): SystemdService {
  const { agent, log, environment = process.env, notify = createNotify(log) } = options;
  const minuteLog = createRateLimitedLog(log);
  let lastLine: string | undefined;
  let sentAt = Number.NEGATIVE_INFINITY;
  /** The next attempt to become ready; afterwards the interval of the status. */
  let timer: NodeJS.Timeout | undefined;
  let stopWatchdog: (() => void) | undefined;
  let stopped = false;

  async function becomeReady(): Promise<void> {
    const received = await notifyReady();
    if (stopped) return;
    if (!received) {
      timer = setTimeout(becomeReady, RETRY_MS);
      return;
    }
    timer = setInterval(renewStatus, STATUS_CHECK_MS);
    const intervalMs = watchdogInterval(environment);
    if (intervalMs !== undefined) stopWatchdog = startWatchdog({ intervalMs, probe: agent.probe, notify, log });
    log.info({ watchdogMs: intervalMs }, 'systemd notified: ready');
  }

  async function notifyReady(): Promise<boolean> {
    try {
      await agent.probe();
    } catch (error) {
      minuteLog('probe', { error: messageOf(error) }, 'not ready: the probe failed');
      return false;
    }
    return !stopped && sendStatus((STATUS) => notify({ READY: '1', STATUS }));
  }

  async function sendStatus(send: (line: string) => Promise<boolean>): Promise<boolean> {
    const line = statusLine(agent.status());
    sentAt = performance.now();
    const received = await send(line);
    if (received) lastLine = line;
    return received;
  }

  function renewStatus(): void {
    if (performance.now() - sentAt < MIN_STATUS_INTERVAL_MS || statusLine(agent.status()) === lastLine) return;
    void sendStatus((STATUS) => notify({ STATUS }));
  }

  /** The unit's TimeoutStopSec= fits the default `limits.stop` only. */
  const maxStopMs = () => milliseconds(agent.config.limits.stop) + STOP_MARGIN_MS;

  return {
    start() {
      if (!stopped) void becomeReady();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      stopWatchdog?.();
      const late = new Promise((resolve) => setTimeout(resolve, STOP_MS).unref());
      const EXTEND_TIMEOUT_USEC = String(Math.ceil(maxStopMs() * 1000));
      await Promise.race([notify({ STOPPING: '1', STATUS: 'stopping', EXTEND_TIMEOUT_USEC }), late]);
    },
  };
}
