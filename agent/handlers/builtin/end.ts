import { existsSync } from 'node:fs';
import * as z from 'zod';
import { type Config, REBOOT_PROGRAM, REBOOT_SOCKET } from '../../config/schema.js';
import type { Handler } from '../handler.js';
import { compileHandler } from '../registry.js';

/** How long the device, or the agent, may take to go down. */
const TIMEOUT = '5min';

/** `device.reboot` and `agent.restart`: their commands are done when the agent runs again. */
export const endingHandlers = ({ device }: Pick<Config, 'device'>): Handler[] => [
  {
    ...compileHandler({
      name: 'device.reboot',
      description: 'Reboots the device; done when the agent runs again',
      params: z.object({}),
      timeout: TIMEOUT,
      run: (_params, { signal }) => doAndWait(device.reboot ?? defaultReboot(), signal),
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
      run: (_params, { signal }) => (device.restart === undefined ? endSelf() : doAndWait(device.restart, signal)),
    }),
    endsWith: 'process',
    needsAuthentication: true,
  },
];

/**
 * What reboots the device where the configuration does not say. Looked for when it is needed, as the socket's unit may
 * be started or stopped at any time.
 */
export const defaultReboot = () => (existsSync(REBOOT_SOCKET) ? { socket: REBOOT_SOCKET } : REBOOT_PROGRAM);

/**
 * Never comes to a good end, as that is told after the next start.
 *
 * @throws Error when the program or the service fails
 */
async function doAndWait(way: readonly string[] | { readonly socket: string }, signal: AbortSignal): Promise<never> {
  if ('socket' in way) {
    const { callService } = await import('../socket.js');
    await callService(way.socket, {}, 0, signal);
  } else {
    const [file = '', ...args] = way;
    const { runOwnProgram } = await import('../program.js');
    await runOwnProgram(file, args, signal);
  }
  return never();
}

let ending = false;

/** In order, with what runs given its time; systemd's `Restart=always` starts the agent again. */
function endSelf(): Promise<never> {
  // A second signal would end it at once.
  if (!ending) process.kill(process.pid, 'SIGTERM');
  ending = true;
  return never();
}

const never = () => new Promise<never>(() => undefined);
