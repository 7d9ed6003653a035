import { expect, onTestFinished } from 'vitest';
import { createManagedAgent, type ManagedOptions } from '../../agent/agent.js';
import { resolveConfig } from '../../agent/config/load.js';
import type { ConfigInput } from '../../agent/config/schema.js';
import {
  formatEvent,
  type Loopback,
  type LoopbackEvent,
  type LoopbackModem,
  type LoopbackOptions,
  startLoopback,
} from '../../loopback/index.js';
import { payloadBytes } from '../../shared/ip-command.js';
import { linkPath } from './pty.js';
import type { StoryLink } from './story-links.js';
import { randomAddress } from './udp.js';
import { useModem } from './used-modem.js';
import { WAIT_MS } from './wait.js';

const UP_MS = 20_000;

/**
 * Starts a loopback on free ports and random addresses; it stops with the test. With a modem link, `gateway-1` is the
 * modem's SIM.
 */
export async function startTestLoopback(options: LoopbackOptions = {}, link: StoryLink = 'udp'): Promise<Loopback> {
  const loopback = await startLoopback({
    httpPort: 0,
    gatewayAddress: randomAddress(),
    gatewayPort: 0,
    sims: [{ name: 'gateway-1', address: randomAddress() }],
    ...(link !== 'udp' && { modem: { dialect: link, path: linkPath(), sim: 'gateway-1' } }),
    ...options,
  });
  onTestFinished(() => loopback.stop());
  if (link !== 'udp') await useModem(loopback);
  return loopback;
}

interface TestAgentOptions extends Omit<ManagedOptions, 'keys'> {
  readonly config?: ConfigInput;
}

/** Starts an agent on a SIM's address or modem, and waits until its link is up; it stops with the test. */
export async function startTestAgent(loopback: Loopback, simName = 'gateway-1', options: TestAgentOptions = {}) {
  const sim = loopback.sims.find(({ uniqueName }) => uniqueName === simName);
  if (sim === undefined) throw new Error(`the loopback has no SIM ${simName}`);
  const { listen, ...config } = options.config ?? {};
  const { modem } = loopback;
  const byUdp = (): ConfigInput => ({
    gateway: { address: loopback.gateway.address, port: loopback.gateway.port },
    listen: { address: sim.address, ...listen },
    allow: ['127.0.0.0/8'],
  });
  const linked = modem?.simName === simName ? { ...byModem(modem), ...(listen && { listen }) } : byUdp();
  const { config: _, ...managed } = options;
  const agent = createManagedAgent(resolveConfig({ ...linked, ...config }), managed);
  await agent.start();
  onTestFinished(() => agent.stop());
  await expect.poll(() => agent.status().link?.links[0], { timeout: UP_MS }).toMatchObject({ up: true });
  return agent;
}

/** Configuration of an agent that has only a modem. */
export const byModem = (modem: LoopbackModem | undefined) =>
  ({ modem: { path: modem?.link }, link: { policy: 'modem' } }) as const satisfies ConfigInput;

/** Waits for the first event for which `pick` returns a value. Fails after 5 s with the events that came instead. */
export function nextEvent<T>(
  loopback: Loopback,
  what: string,
  pick: (event: LoopbackEvent) => T | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const seen: string[] = [];
    const finish = () => {
      clearTimeout(timer);
      forget();
    };
    const timer = setTimeout(() => {
      finish();
      reject(new Error(`${what} did not arrive in ${WAIT_MS} ms; instead: ${seen.join('\n') || 'nothing'}`));
    }, WAIT_MS);
    const forget = loopback.onEvent((event) => {
      seen.push(formatEvent(event));
      const picked = pick(event);
      if (picked === undefined) return;
      finish();
      resolve(picked);
    });
  });
}

/** Waits for the next from_sim command of a SIM. */
export const nextReply = (loopback: Loopback, simName = 'gateway-1') =>
  nextEvent(loopback, `a from_sim command of ${simName}`, (event) =>
    event.type === 'command' && event.command.direction === 'from_sim' && event.simName === simName
      ? event.command
      : undefined,
  );

/** Waits for the bytes of the next from_sim command. */
export const nextReplyBytes = async (loopback: Loopback, simName?: string): Promise<Buffer> =>
  payloadBytes(await nextReply(loopback, simName));
