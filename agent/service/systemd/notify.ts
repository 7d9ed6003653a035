import { spawn } from 'node:child_process';
import { printable } from '../../../shared/cli.js';
import { messageOf } from '../../../shared/errors.js';
import { createRateLimitedLog, type Log } from '../../base/log.js';
import { requireDescriptors } from '../../base/shortage.js';

/** Time limit of a child; `systemd-notify` itself stops after 5 s. */
const CHILD_MS = 10_000;
const MAX_STDERR_BYTES = 1000;

/** Variables of sd_notify(3). */
export type Variables = Readonly<Record<string, string>>;

/**
 * Notifies systemd.
 *
 * @returns whether systemd received it; false also for a notification that a newer one of its kind replaced
 */
export type Notify = (variables: Variables) => Promise<boolean>;

/** Runs `systemd-notify` to its end. @throws (rejects) Error when it fails */
export type RunNotify = (args: readonly string[]) => Promise<void>;

/** A queue of length one for notifications of one kind. */
interface Lane {
  readonly notify: Notify;
  /** Resolves once nothing is being sent. */
  idle(): Promise<void>;
}

/**
 * Makes a function that notifies systemd by `systemd-notify`, one child at a time for each kind of notification:
 * keep-alive, status, and state. While a child runs only the newest notification of its kind waits. The state waits for
 * the other kinds too: after STOPPING=1 a status would be wrong, and a keep-alive would make systemd expect the next
 * one.
 */
export function createNotify(log: Log, run: RunNotify = runSystemdNotify): Notify {
  const minuteLog = createRateLimitedLog(log);
  const watchdog = createLane(send);
  const status = createLane(send);
  const state = createLane(async (variables) => {
    await Promise.all([watchdog.idle(), status.idle()]);
    return send(variables);
  });

  async function send(variables: Variables): Promise<boolean> {
    // A line break would start another variable, and the command's name in the status comes from its sender.
    const args = Object.entries(variables).map(([name, value]) => `${name}=${printable(value)}`);
    try {
      await run(args);
      return true;
    } catch (error) {
      minuteLog('systemd-notify', { error: messageOf(error), message: args.join(' ') }, 'systemd-notify failed');
      return false;
    }
  }

  function laneOf(variables: Variables): Lane {
    if ('WATCHDOG' in variables) return watchdog;
    return Object.keys(variables).every((name) => name === 'STATUS') ? status : state;
  }

  return (variables) => laneOf(variables).notify(variables);
}

function createLane(send: Notify): Lane {
  let busy: Promise<void> | undefined;
  let waiting: { readonly variables: Variables; readonly settle: (received: boolean) => void } | undefined;

  async function advance(): Promise<void> {
    for (let next = take(); next !== undefined; next = take()) next.settle(await send(next.variables));
    busy = undefined;
  }

  function take() {
    const next = waiting;
    waiting = undefined;
    return next;
  }

  return {
    notify: (variables) =>
      new Promise((settle) => {
        waiting?.settle(false);
        waiting = { variables, settle };
        busy ??= advance();
      }),
    idle: async () => busy,
  };
}

/** Without `--no-block`: systemd looks up the sender's service, so the child must live until systemd has read. */
function runSystemdNotify(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    requireDescriptors();
    const { PATH, NOTIFY_SOCKET } = process.env;
    const child = spawn('systemd-notify', args, {
      env: { PATH, NOTIFY_SOCKET },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: CHILD_MS,
      killSignal: 'SIGKILL',
    });
    let stderr = '';
    child.once('error', (error) => reject(new Error(`cannot run systemd-notify: ${error.message}`, { cause: error })));
    // Without free file descriptors there is no pipe; the error event above reports that.
    child.stderr?.on('data', (chunk: Buffer) => {
      if (stderr.length < MAX_STDERR_BYTES) stderr += chunk;
    });
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`systemd-notify exited with ${code ?? signal}${stderr && `: ${stderr.trim()}`}`));
    });
  });
}
