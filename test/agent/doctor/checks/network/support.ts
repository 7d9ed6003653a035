import { join } from 'node:path';
import { expect } from 'vitest';
import { agent as agentCheck } from '../../../../../agent/doctor/checks/service/agent.js';
import { temporaryFolder } from '../../../../support/files.js';
import { startAgent as startRealAgent } from '../../../cli/support.js';
import { run } from '../../support.js';

/** Starts an agent in a process of its own, with a control socket. */
export async function startAgent(config = '') {
  const socket = join(temporaryFolder(), 'control.sock');
  const started = await startRealAgent(config, { env: { SUPERSIM_AGENT_CONTROL_SOCKET: socket } });
  await expect
    .poll(async () => {
      const findings = await run(agentCheck, { control: { socket } });
      return findings[0]?.severity === 'good' || findings;
    })
    .toBe(true);
  return { ...started, socket };
}

/** An agent that uses only the modem. */
export const MODEM_ONLY = { link: { policy: 'modem' as const }, modem: { path: '/dev/nowhere' } };
