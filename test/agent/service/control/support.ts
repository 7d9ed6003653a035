import { once } from 'node:events';
import { request } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { silentLog } from '../../../../agent/base/log.js';
import type { CommandView } from '../../../../agent/service/control/schema.js';
import { type ControlOptions, createControlSocket } from '../../../../agent/service/control/socket.js';
import type { ControlCommands } from '../../../../agent/service/control/target.js';
import { temporaryFolder } from '../../../support/files.js';

export const ENDED: CommandView = {
  id: 1,
  name: 'relay.set',
  state: 'done',
  outcome: 'failed',
  code: 'handler-failed',
  callerId: 'a1',
  peer: 'gateway',
  source: '100.64.0.1:6969',
  port: 6969,
  transport: 'udp',
  format: 'json',
  idempotent: false,
  runs: 1,
  received: Date.UTC(2026, 0, 2, 3, 4, 5),
  started: Date.UTC(2026, 0, 2, 3, 4, 6),
  finished: Date.UTC(2026, 0, 2, 3, 4, 7),
  deadline: null,
};

export const WAITING: CommandView = {
  ...ENDED,
  id: 2,
  state: 'accepted',
  outcome: null,
  code: null,
  callerId: null,
  runs: 0,
  started: null,
  finished: null,
};

/** Commands in memory, newest first. */
export function fakeCommands(all: readonly CommandView[] = [WAITING, ENDED]): ControlCommands {
  let entries = [...all];
  return {
    list: (limit) => entries.slice(0, limit).map(({ reply, ...listed }) => listed),
    get: (id) => entries.find((one) => one.id === id),
    cancel(id) {
      const state = entries.find((one) => one.id === id)?.state;
      if (state === undefined) return 'not-found';
      if (state !== 'accepted') return 'too-late';
      entries = entries.filter((one) => one.id !== id);
      return 'cancelled';
    },
    purge() {
      const before = entries.length;
      entries = entries.filter(({ finished }) => finished === null);
      return before - entries.length;
    },
  };
}

export const fakeTarget = () => ({ status: (): object => ({ running: 3 }), commands: fakeCommands() });

/** Opens a control socket in a temporary folder; it stops with the test. */
export async function openControl({
  path = join(temporaryFolder(), 'control.sock'),
  target = fakeTarget(),
  log = silentLog,
}: Partial<ControlOptions> = {}) {
  const control = createControlSocket({ path, target, log });
  onTestFinished(() => control.stop());
  await control.start();
  return { control, path };
}

/** Sends a request by Node's client and returns the response. */
export async function ask(path: string, method: string, url: string, body?: string) {
  const outgoing = request({ socketPath: path, method, path: url, agent: false });
  outgoing.end(body);
  const [response] = await once(outgoing, 'response');
  const written = await text(response);
  const { code, ...rest }: Record<string, unknown> = JSON.parse(written);
  return { status: response.statusCode, headers: response.headers, code, body: { code, ...rest } };
}

/** Opens a connection that is closed with the test. */
export async function connect(path: string): Promise<Socket> {
  const socket = createConnection(path);
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Sends bytes and returns everything received until the other side closes. */
export async function talk(path: string, bytes: Uint8Array | string): Promise<string> {
  const socket = await connect(path);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(bytes);
  await closed;
  return Buffer.concat(chunks).toString();
}
