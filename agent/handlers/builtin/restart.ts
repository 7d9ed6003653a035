import { existsSync } from 'node:fs';
import * as z from 'zod';
import { importLater } from '../../base/shortage.js';
import { type Config, REBOOT_PROGRAM, REBOOT_SOCKET } from '../../config/schema.js';
import type { Handler } from '../handler.js';
import { beforeStart } from '../not-started.js';
import { compileHandler } from '../registry.js';

/** Time limit for the device or the agent to go down. */
const TIMEOUT = '5min';

/** Makes `device.reboot` and `agent.restart`, whose commands are done when the agent runs again. */
export const restartHandlers = ({ device }: Pick<Config, 'device'>): Handler[] => [
  {
    ...compileHandler({
      name: 'device.reboot',
      description: 'Reboots the device; done when the agent runs again',
      params: z.object({}),
      timeout: TIMEOUT,
      run: (_params, { signal }) => runAndWait(device.reboot ?? defaultReboot(), signal),
    }),
    endsWith: 'boot',
    needsAuthentication: true,
  },
  {
    ...compileHandler({
      name: 'agent.restart',
      description: 'Restarts the agent; done when it runs again',
      params: z.object({}),
      timeout: TIMEOUT,
      run: (_params, { signal }) => (device.restart === undefined ? stopSelf() : runAndWait(device.restart, signal)),
    }),
    endsWith: 'process',
    needsAuthentication: true,
  },
];

/**
 * Returns the default way to reboot the device. Checked at each use, as the socket's unit may be started or stopped at
 * any time.
 */
export const defaultReboot = () => (existsSync(REBOOT_SOCKET) ? { socket: REBOOT_SOCKET } : REBOOT_PROGRAM);

/**
 * Never resolves: success is reported after the next start.
 *
 * @throws (rejects) NotStartedError; Error when the program or the service fails
 */
async function runAndWait(way: readonly string[] | { readonly socket: string }, signal: AbortSignal): Promise<never> {
  if ('socket' in way) {
    const { callService } = await beforeStart(() => importLater(() => import('../socket.js')));
    await callService(way.socket, {}, 0, signal);
  } else {
    const [file = '', ...args] = way;
    const { runOwnProgram } = await beforeStart(() => importLater(() => import('../program.js')));
    await runOwnProgram(file, args, signal);
  }
  return never();
}

let isStopping = false;

/** Stops the agent gracefully; systemd's `Restart=always` starts it again. */
function stopSelf(): Promise<never> {
  // A second signal would end the process at once.
  if (!isStopping) process.kill(process.pid, 'SIGTERM');
  isStopping = true;
  return never();
}

const never = () => new Promise<never>(() => undefined);
