import { expect, onTestFinished } from 'vitest';
import { createModemTransport } from '../../agent/transport/modem/modem-transport.js';
import type { Datagram } from '../../agent/transport/transport.js';
import type { DialectName, ModemInput } from '../../loopback/index.js';
import { IpCommandClient } from '../../sender/index.js';
import { payloadBytes } from '../../shared/ip-command.js';
import { recordingLog } from './log.js';
import { linkPath } from './pty.js';
import { startTestLoopback } from './round-trip.js';

/** The gateway in the network of the loopback's modem. */
export const CARRIER = { address: '100.64.0.1', port: 6969 };
export const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

/** Factor by which the recovery's waits are shortened. */
const PACE = 20;
const POLL_MS = 500;

export interface LinkSetup {
  readonly modem?: Partial<ModemInput>;
  readonly pin?: string;
  readonly ports?: readonly number[];
  readonly stateFolder?: string;
  /** Factor by which the recovery's waits are shortened. */
  readonly pace?: number;
}

/** Makes a loopback with a virtual modem, and the transport on its tty, not yet started. Both stop with the test. */
export async function makeModemLink(dialect: DialectName, setup: LinkSetup = {}) {
  const path = linkPath();
  const loopback = await startTestLoopback({ modem: { dialect, path, ...setup.modem } });
  const { modem } = loopback;
  if (modem === undefined) throw new Error('the loopback has no modem');
  const recording = recordingLog();
  const transport = another(setup);

  /** Makes a transport on the same port. */
  function another({ pin, ports = [6969], stateFolder, pace = PACE }: LinkSetup = {}) {
    const created = createModemTransport(
      {
        path,
        dialect: 'auto',
        baudRate: 115_200,
        flowControl: 'none',
        apn: 'super',
        pin,
        ports,
        gateway: CARRIER,
        stateFolder,
      },
      recording.log,
      { pace, pollMs: POLL_MS },
    );
    onTestFinished(() => created.stop());
    return {
      ...created,
      start: (receive: (datagram: Datagram) => void = () => undefined) => created.start(receive),
    };
  }

  const client = new IpCommandClient({
    accountSid: loopback.accountSid,
    authToken: loopback.authToken,
    baseUrl: loopback.url,
  });
  /** Datagrams that arrived at the device. */
  const received: Datagram[] = [];
  /** Payloads of from_sim commands. */
  const replies: Buffer[] = [];
  /** The AT commands that the modem ran, with their results. */
  const commands: string[] = [];
  loopback.onEvent((event) => {
    if (event.type === 'command' && event.command.direction === 'from_sim') replies.push(payloadBytes(event.command));
    if (event.type === 'modem' && event.event.what === 'command') {
      commands.push(`${event.event.command} ${event.event.result}`);
    }
  });
  let answers = false;

  /** Sends a datagram; resolves with the error that `done` got. */
  const send = (bytes: Uint8Array, port = 6969) =>
    new Promise<Error | undefined>((resolve) => transport.send(bytes, CARRIER, port, resolve));

  async function sendWithRetries(bytes: Uint8Array, port: number): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      if ((await send(bytes, port)) === undefined) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  return {
    loopback,
    modem,
    transport,
    another,
    recording,
    received,
    replies,
    commands,
    path,
    send,
    /** Sends each further datagram back, with retries as the outbox makes. */
    answer: () => {
      answers = true;
    },
    start: () =>
      transport.start((datagram) => {
        received.push(datagram);
        if (answers) void sendWithRetries(datagram.bytes, datagram.port);
      }),
    command: (payload: string | Uint8Array, devicePort = 6969) =>
      client.create({ sim: modem.simName, payload, devicePort }),
    isUp: () => transport.link().links[0]?.up === true,
    async up(timeout = 30_000): Promise<void> {
      await expect.poll(() => transport.link().links[0], { timeout }).toMatchObject({ up: true });
    },
    /** Sends a command through the API until its reply arrives; repeats it, as a fault may lose it. */
    async roundTrip(text: string, timeout = 30_000): Promise<void> {
      const until = performance.now() + timeout;
      while (performance.now() < until && !replies.some((reply) => reply.toString('latin1') === text)) {
        await client.create({ sim: modem.simName, payload: text, devicePort: 6969 });
        const next = performance.now() + 1000;
        while (performance.now() < next && !replies.some((reply) => reply.toString('latin1') === text)) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
      expect(replies.map((reply) => reply.toString('latin1'))).toContain(text);
    },
  };
}

export async function startModemLink(dialect: DialectName, setup: LinkSetup = {}) {
  const link = await makeModemLink(dialect, setup);
  await link.start();
  await link.up();
  return link;
}
