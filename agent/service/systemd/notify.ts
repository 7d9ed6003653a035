import { spawn } from 'node:child_process';
import { printable } from '../../../shared/cli.js';
import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import { createRateLimitedLog } from '../../base/rate-limited-log.js';

/** How long systemd may take to hear; `systemd-notify` itself gives up after 5 s. */
const CHILD_MS = 10_000;
const MAX_COMPLAINT_BYTES = 1000;

/** What systemd is told, by the names of sd_notify(3). */
export type Variables = Readonly<Record<string, string>>;

/**
 * Tells systemd.
 *
 * @returns whether it has heard; false also for what was overtaken by something newer of its kind
 */
export type Notify = (variables: Variables) => Promise<boolean>;

/** Runs `systemd-notify` to its end. @throws (rejects) Error when it fails */
export type RunNotify = (args: readonly string[]) => Promise<void>;

/** What tells of one kind. */
interface Lane {
  readonly notify: Notify;
  /** Resolves once there is nothing on its way. */
  idle(): Promise<void>;
}

/**
 * Makes what tells systemd by `systemd-notify`, one child at a time for each kind of message: signs of life, the status,
 * the state. What comes while one runs waits for it, and only the newest of that: an older status, or another sign of
 * life, is worth nothing then. The state waits for those of the other kinds too: heard after STOPPING, a status would
 * not be true, and a sign of life would have systemd wait for the next.
 */
export function createNotify(log: Log, run: RunNotify = runSystemdNotify): Notify {
  const minuteLog = createRateLimitedLog(log);
  const watchdog = createLane(tell);
  const status = createLane(tell);
  const state = createLane(async (variables) => {
    await Promise.all([watchdog.idle(), status.idle()]);
    return tell(variables);
  });

  async function tell(variables: Variables): Promise<boolean> {
    // A line break would begin another variable, and the name of a command is its sender's.
    const args = Object.entries(variables).map(([name, value]) => `${name}=${printable(value)}`);
    try {
      await run(args);
      return true;
    } catch (error) {
      minuteLog('systemd-notify', { error: messageOf(error), message: args.join(' ') }, 'systemd cannot be told');
      return false;
    }
  }

  function laneOf(variables: Variables): Lane {
    if ('WATCHDOG' in variables) return watchdog;
    return Object.keys(variables).every((name) => name === 'STATUS') ? status : state;
  }

  return (variables) => laneOf(variables).notify(variables);
}

function createLane(tell: Notify): Lane {
  let busy: Promise<void> | undefined;
  let waiting: { readonly variables: Variables; readonly told: (heard: boolean) => void } | undefined;

  async function advance(): Promise<void> {
    for (let next = take(); next !== undefined; next = take()) next.told(await tell(next.variables));
    busy = undefined;
  }

  function take() {
    const next = waiting;
    waiting = undefined;
    return next;
  }

  return {
    notify: (variables) =>
      new Promise((told) => {
        waiting?.told(false);
        waiting = { variables, told };
        busy ??= advance();
      }),
    idle: async () => busy,
  };
}

/** Without `--no-block`: it stays until systemd has read, as that asks to which service its sender belongs. */
function runSystemdNotify(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const { PATH, NOTIFY_SOCKET } = process.env;
    const child = spawn('systemd-notify', args, {
      env: { PATH, NOTIFY_SOCKET },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: CHILD_MS,
      killSignal: 'SIGKILL',
    });
    let complaint = '';
    child.once('error', (error) => reject(new Error(`cannot run systemd-notify: ${error.message}`, { cause: error })));
    // There is no pipe when the agent has too many files open; the event above says so.
    child.stderr?.on('data', (chunk: Buffer) => {
      if (complaint.length < MAX_COMPLAINT_BYTES) complaint += chunk;
    });
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`systemd-notify ended with ${code ?? signal}${complaint && `: ${complaint.trim()}`}`));
    });
  });
}
