import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { ConfigInput } from '../../../agent/config/schema.js';
import type { Endpoint } from '../../../agent/transport/endpoint.js';
import { isRecord } from '../../../shared/format/value.js';
import { environment } from '../../agent/cli/support.js';
import { linesOf } from '../../support/device.js';
import { makeFaultyDisk } from '../../support/faulty-disk.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { program, startProcess } from '../../support/process.js';
import { openPeer, randomAddress } from '../../support/udp.js';

export const RUNNING = -32007;
export const INTERRUPTED = -32008;

/** Each run leaves a line in a file that is not on the disk, and before that a mark in the disk's log, if it has one. */
const HANDLERS = `import { appendFileSync } from 'node:fs';
const { RUNS, FAULTY_DISK_LOG: log } = process.env;
const mark = (text) => {
  const head = Buffer.alloc(16);
  head.write('m');
  head.writeUInt32LE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
};
export const work = {
  name: 'work', description: 'May not run twice',
  run({ n }) {
    appendFileSync(RUNS, n + '\\n');
    if (log !== undefined) appendFileSync(log, mark('ran ' + n));
    return n;
  },
};`;

/** An empty faulty disk, and room beside it. */
export async function emptyDisk() {
  const scratch = temporaryFolder();
  const folder = join(scratch, 'disk');
  mkdirSync(folder, { mode: 0o700 });
  return makeFaultyDisk(folder, scratch);
}

/** Starts the agent with its state in a folder, which may be on a faulty disk. */
export async function startOn(folder: string, env: Record<string, string> = {}) {
  const scratch = temporaryFolder();
  const device: Endpoint = { address: randomAddress(), port: 6969 };
  const runs = join(scratch, 'runs');
  const socket = join(scratch, 'control.sock');
  const config: ConfigInput = {
    listen: { address: device.address, receiveBufferBytes: 262_144 },
    allow: ['127.0.0.0/8'],
    state: { folder },
    control: { socket },
    modules: [writeFile(scratch, 'handlers.mjs', HANDLERS)],
    log: { level: 'info' },
  };
  // JSON is YAML.
  const args = [
    program('supersim-agent'),
    'run',
    '--config',
    writeFile(scratch, 'config.yaml', JSON.stringify(config)),
  ];
  const agent = startProcess(process.execPath, args, environment({ RUNS: runs, ...env }));
  // It may wait for the disk.
  onTestFinished(() => agent.kill('SIGKILL'));
  await agent.line(/"agent started"/);
  return {
    agent,
    device,
    /** Its control socket. */
    socket,
    /** Which commands ran, once for each run. */
    runs: () => linesOf(runs).map(Number),
    async kill(): Promise<void> {
      agent.kill('SIGKILL');
      await agent.ended;
    },
  };
}

/** What was heard of a command: `done`, `unrecorded` (busy, but not for good), or the code of an error. */
export interface Heard {
  readonly id: number;
  readonly said: 'done' | 'unrecorded' | number;
}

/** The datagram of a command, always the same; so long that the journal has to begin its log anew now and then. */
export const commandBytes = (id: number): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method: 'work', params: { n: id, filling: 'x'.repeat(600) } });

/** Who sends commands, from one port all the time. */
export async function openSender() {
  const peer = await openPeer();

  function heard(bytes: Buffer): Heard {
    const document: unknown = JSON.parse(bytes.toString());
    if (!isRecord(document) || typeof document['id'] !== 'number') throw new Error(`no reply: ${bytes}`);
    const { id, error } = document;
    if (!isRecord(error) || typeof error['code'] !== 'number') return { id, said: 'done' };
    return { id, said: isRecord(error['data']) && error['data']['recorded'] === false ? 'unrecorded' : error['code'] };
  }

  return {
    peer,
    /** What has come up to now. */
    soFar: async () => (await peer.everythingSoFar()).map(({ bytes }) => heard(bytes)),
    /** Sends commands, so many at once, and waits until of each is said how it ended; tells what is heard of any. */
    async send(ids: readonly number[], to: Endpoint, inFlight: number, tell: (heard: Heard) => void = () => undefined) {
      const all: Heard[] = [];
      const missing = new Set<number>();
      const left = [...ids];
      while (left.length > 0 || missing.size > 0) {
        const next = missing.size < inFlight ? left.shift() : undefined;
        if (next !== undefined) {
          missing.add(next);
          await peer.send(commandBytes(next), to);
          continue;
        }
        const one = heard((await peer.next()).bytes);
        all.push(one);
        tell(one);
        if (one.said !== RUNNING) missing.delete(one.id);
      }
      return all;
    },
  };
}
