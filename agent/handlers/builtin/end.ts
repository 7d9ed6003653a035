import * as z from 'zod';
import type { Config } from '../../config/schema.js';
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
      run: (_params, { signal }) => runAndWait(device.reboot, signal),
    }),
    endsWith: 'boot',
  },
  {
    ...compileHandler({
      name: 'agent.restart',
      description: 'Restarts the agent; done when it runs again',
      params: z.object({}),
      timeout: TIMEOUT,
      run: (_params, { signal }) => (device.restart === undefined ? endSelf() : runAndWait(device.restart, signal)),
    }),
    endsWith: 'process',
  },
];

/**
 * Never comes to a good end, as that is told after the next start.
 *
 * @throws Error when the program fails
 */
async function runAndWait([file = '', ...args]: readonly string[], signal: AbortSignal): Promise<never> {
  const { runOwnProgram } = await import('../program.js');
  await runOwnProgram(file, args, signal);
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
