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

/** A probe under way. */
export interface Probe {
  /** Posts a command for the device. @param what describes the payload in the step */
  post(payload: string | Uint8Array, what: string): Promise<void>;
  /**
   * Waits until the API has a from_sim command that `read` can use, and returns what it reads.
   *
   * @param advice added to the error when none comes
   */
  awaitReply<T>(read: (payload: Buffer) => T | undefined, advice?: string): Promise<T>;
  /** Notes as a step what the reply says. */
  noteReply(what: string): void;
}

/**
 * Sends a `ping` through API, network and agent, and waits until its reply can be read from the API.
 *
 * @returns the steps in order; the last one completes the round trip
 * @throws SupersimError `probe-failed` with the steps so far
 */
export const probeLoop = (loopback: Loopback, devicePort: number): Promise<ProbeStep[]> =>
  runProbe(loopback, devicePort, async ({ post, awaitReply, noteReply }) => {
    const pong = `${PROBE_ID} ok pong`;
    await post(`${PROBE_ID} ping`, `Payload="${PROBE_ID} ping"`);
    noteReply(`"${await awaitReply((payload) => (payload.toString() === pong ? pong : undefined))}"`);
  });

/**
 * Runs a probe, and notes what the loopback has to do with it.
 *
 * @returns the steps in order
 * @throws SupersimError `probe-failed` with the steps so far
 */
export async function runProbe(
  loopback: Loopback,
  devicePort: number,
  run: (probe: Probe) => Promise<void>,
): Promise<ProbeStep[]> {
  const [sim] = loopback.sims;
  if (sim === undefined) throw new SupersimError('probe-failed', 'the loopback has no SIM');
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl, timeout: '5s' });
  const startedAt = performance.now();
  const steps: ProbeStep[] = [];
  const note = (what: string) => void steps.push({ at: performance.now() - startedAt, what });
  const unsubscribe = loopback.onEvent((event) => noteEvent(event, note));
  try {
    await run({
      async post(payload, what) {
        note(`POST ${baseUrl}/v1/IpCommands  Sim=${sim.uniqueName} DevicePort=${devicePort} ${what}`);
        await client.create({ sim: sim.uniqueName, payload, devicePort });
      },
      awaitReply: (read, advice = '') => awaitReply(client, sim.sid, read, advice),
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

async function awaitReply<T>(
  client: IpCommandClient,
  sim: string,
  read: (payload: Buffer) => T | undefined,
  advice: string,
): Promise<T> {
  const until = performance.now() + PROBE_TIMEOUT_MS;
  while (performance.now() < until) {
    for await (const command of client.list({ sim, direction: 'from_sim', limit: 20 })) {
      const found = read(payloadBytes(command));
      if (found !== undefined) return found;
    }
    await sleep(POLL_INTERVAL_MS);
  }
  throw new Error(`no reply in ${PROBE_TIMEOUT_MS / 1000} s${advice}`);
}
