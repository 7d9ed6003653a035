import { setTimeout as sleep } from 'node:timers/promises';
import type { Loopback, LoopbackEvent, Sim } from '../loopback/index.js';
import { type CreateParams, IpCommandClient } from '../sender/index.js';
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

/** A probe under way. */
export interface Probe {
  /** The API; each command that is posted is a step. */
  readonly client: Pick<IpCommandClient, 'create' | 'pages'>;
  readonly sim: Sim;
  /** Notes as a step what a reply says. */
  noteReply(what: string): void;
}

/**
 * Sends a `ping` through API, network and agent, and waits until its reply can be read from the API.
 *
 * @returns the steps in order; the last one completes the round trip
 * @throws SupersimError `probe-failed` with the steps so far
 */
export const probeLoop = (loopback: Loopback, devicePort: number): Promise<ProbeStep[]> =>
  runProbe(loopback, async ({ client, sim, noteReply }) => {
    await client.create({ sim: sim.uniqueName, payload: `${PROBE_ID} ping`, devicePort });
    await awaitReply(client, sim.sid, `${PROBE_ID} ok pong`);
    noteReply(`"${PROBE_ID} ok pong"`);
  });

/**
 * Runs a probe, and notes what the loopback has to do with it.
 *
 * @returns the steps in order
 * @throws SupersimError `probe-failed` with the steps so far
 */
export async function runProbe(loopback: Loopback, run: (probe: Probe) => Promise<void>): Promise<ProbeStep[]> {
  const [sim] = loopback.sims;
  if (sim === undefined) throw new SupersimError('probe-failed', 'the loopback has no SIM');
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl, timeout: '5s' });
  const startedAt = performance.now();
  const steps: ProbeStep[] = [];
  const note = (what: string) => void steps.push({ at: performance.now() - startedAt, what });
  const unsubscribe = loopback.onEvent((event) => noteEvent(event, note));
  const create: IpCommandClient['create'] = (command) => {
    note(`POST ${baseUrl}/v1/IpCommands  ${describeCommand(command)}`);
    return client.create(command);
  };
  try {
    await run({
      client: { create, pages: (filters) => client.pages(filters) },
      sim,
      noteReply: (what) => note(`GET  ${baseUrl}/v1/IpCommands  from_sim ${what}`),
    });
    return steps;
  } catch (error) {
    const trace = steps.map(formatStep).join('\n');
    throw new SupersimError('probe-failed', `${messageOf(error)}\n${trace}`, { cause: error });
  } finally {
    unsubscribe();
  }
}

function describeCommand({ sim, devicePort, payload }: CreateParams): string {
  const shown = typeof payload === 'string' ? `"${payload}"` : `(${payload.length} bytes)`;
  return `Sim=${sim} DevicePort=${devicePort} Payload=${shown}`;
}

export const formatStep = ({ at, what }: ProbeStep): string => `${at.toFixed(1).padStart(8)} ms  ${what}`;

function noteEvent(event: LoopbackEvent, note: (what: string) => void): void {
  if (event.type === 'dropped') note(`datagram from ${event.address}:${event.port} dropped: ${event.cause}`);
  if (event.type !== 'command') return;
  const { direction, status, device_ip, device_port, sid } = event.command;
  const device = `${device_ip ?? 'the device'}:${device_port}`;
  const protection = event.coap?.oscore === undefined ? '' : ', protected';
  if (status === 'queued') note(`API  ${sid} is queued`);
  if (status === 'sent') note(`UDP  → ${device}, ${sid} is sent${protection}`);
  if (status === 'failed') note(`API  ${sid} failed: ${event.errorCode}`);
  if (direction === 'from_sim')
    note(`UDP  ← ${device}, ${payloadBytes(event.command).length} bytes, ${sid} is received${protection}`);
}

/** Waits until the API has this from_sim command. */
async function awaitReply(client: Probe['client'], sim: string, text: string): Promise<void> {
  const until = performance.now() + PROBE_TIMEOUT_MS;
  while (performance.now() < until) {
    for await (const page of client.pages({ sim, direction: 'from_sim' })) {
      if (page.some((command) => payloadBytes(command).toString() === text)) return;
    }
    await sleep(POLL_INTERVAL_MS);
  }
  throw new Error(`no reply in ${PROBE_TIMEOUT_MS / 1000} s`);
}
