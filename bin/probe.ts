import { setTimeout as sleep } from 'node:timers/promises';
import type { Loopback, LoopbackEvent } from '../loopback/index.js';
import { IpCommandClient } from '../sender/index.js';
import { messageOf, SupersimError } from '../shared/errors.js';
import { payloadBytes } from '../shared/ip-command.js';

const PROBE_TIMEOUT_MS = 5000;
const POLL_INTERVAL_MS = 20;
const PROBE_ID = '#probe';

/** A step of the probe, with its time in milliseconds since the start. */
export interface ProbeStep {
  readonly at: number;
  readonly what: string;
}

/**
 * Sends a `ping` through API, network and agent, and waits until its reply can be read from the API.
 *
 * @returns the steps in order; the last one completes the round trip
 * @throws SupersimError `probe-failed` with the steps so far
 */
export async function probeLoop(loopback: Loopback, devicePort: number): Promise<ProbeStep[]> {
  const [sim] = loopback.sims;
  if (sim === undefined) throw new SupersimError('probe-failed', 'the loopback has no SIM');
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl, timeout: '5s' });
  const startedAt = performance.now();
  const steps: ProbeStep[] = [];
  const note = (what: string) => void steps.push({ at: performance.now() - startedAt, what });
  const unsubscribe = loopback.onEvent((event) => noteEvent(event, note));
  try {
    note(`POST ${baseUrl}/v1/IpCommands  Sim=${sim.uniqueName} DevicePort=${devicePort} Payload="${PROBE_ID} ping"`);
    await client.create({ sim: sim.uniqueName, payload: `${PROBE_ID} ping`, devicePort });
    const reply = await awaitReply(client, sim.sid, startedAt + PROBE_TIMEOUT_MS);
    note(`GET  ${baseUrl}/v1/IpCommands  ${reply}`);
    return steps;
  } catch (error) {
    const trace = steps.map(formatStep).join('\n');
    throw new SupersimError('probe-failed', `${messageOf(error)}\n${trace}`, { cause: error });
  } finally {
    unsubscribe();
  }
}

export const formatStep = ({ at, what }: ProbeStep): string => `${at.toFixed(1).padStart(8)} ms  ${what}`;

function noteEvent(event: LoopbackEvent, note: (what: string) => void): void {
  if (event.type === 'dropped') note(`datagram from ${event.address}:${event.port} dropped: ${event.cause}`);
  if (event.type !== 'command') return;
  const { direction, status, device_ip, device_port, sid } = event.command;
  const device = `${device_ip ?? 'the device'}:${device_port}`;
  if (status === 'queued') note(`API  ${sid} is queued`);
  if (status === 'sent') note(`UDP  → ${device}, ${sid} is sent`);
  if (status === 'failed') note(`API  ${sid} failed: ${event.errorCode}`);
  if (direction === 'from_sim')
    note(`UDP  ← ${device}, ${payloadBytes(event.command).length} bytes, ${sid} is received`);
}

async function awaitReply(client: IpCommandClient, sim: string, until: number): Promise<string> {
  while (performance.now() < until) {
    for await (const command of client.list({ sim, direction: 'from_sim', limit: 20 })) {
      const text = payloadBytes(command).toString();
      if (text === `${PROBE_ID} ok pong`) return `from_sim "${text}"`;
    }
    await sleep(POLL_INTERVAL_MS);
  }
  throw new Error(`no reply in ${PROBE_TIMEOUT_MS / 1000} s`);
}
