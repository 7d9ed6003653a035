import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { controlClient } from '../../agent/service/control/client.js';
import { reloadedSchema, sentEventSchema, statusSchema } from '../../agent/service/control/schema.js';
import { requestBytes } from '../support/coap.js';
import { temporaryFolder, writeFile, writeScript } from '../support/files.js';
import { type Host, twoHosts } from '../support/namespaces.js';
import { needs } from '../support/needs.js';
import { program } from '../support/process.js';

const DEVICE = '192.0.2.1';
const GET = '0.01';
/** The list of commands is longer than a datagram with these. */
const HANDLERS = 12;
const REPORT = 'What the slow command found out. '.repeat(60).trim();

/** A device on a network without a carrier, and another host there. */
async function startNetwork({ limits: first, ...settings }: ConfigInput = {}) {
  const [peer, device] = twoHosts();
  device.ip('address', 'add', `${DEVICE}/24`, 'dev', 'wwan0');
  peer.ip('address', 'add', '192.0.2.2/24', 'dev', 'wwan0');
  const folder = temporaryFolder();
  const socket = join(folder, 'control.sock');
  const slow = writeScript(`sleep 1.5; printf '%s' '${REPORT}'`, folder);
  const others = Array.from({ length: HANDLERS }, (_, index) => [
    `room-${index}.light`,
    { program: [slow], description: `Switches the light in room ${index} on or off, by and by` },
  ]);
  const configure = (limits: ConfigInput['limits']) =>
    writeFile(
      folder,
      'config.yaml',
      JSON.stringify({
        listen: { address: DEVICE },
        allow: ['192.0.2.0/24'],
        state: { folder: `${folder}/state` },
        control: { socket },
        handlers: { slow: { program: [slow], description: 'Takes its time' }, ...Object.fromEntries(others) },
        limits,
        ...settings,
      }),
    );
  const config = configure(first);
  const agent = device.start(process.execPath, [program('supersim-agent'), 'run', '--config', config]);
  await agent.line(/"agent started"/);
  return { peer, socket, configure };
}

describe.skipIf(needs('root', 'ip'))('a host that never shows that it receives', () => {
  it('gets at most 200 bytes for a request, or three times as many as that has', async () => {
    const { peer } = await startNetwork();
    const requests = [
      Buffer.from('commands'),
      Buffer.from('slow'),
      Buffer.from('{"id":1,"method":"commands"}'),
      Buffer.from(encode({ id: 1, method: 'commands' })),
      requestBytes({ method: GET, path: 'commands', token: '12345678', messageId: 1 }),
      requestBytes({ path: 'commands', token: '12345678', messageId: 2 }),
      requestBytes({ method: GET, path: '.well-known/core', messageId: 3 }),
      requestBytes({ path: 'slow', token: '12345678', messageId: 4 }),
      requestBytes({ type: 'NON', path: 'slow', token: '12345678', messageId: 5 }),
    ];
    // Long enough for a response and, if there were any, two retransmissions.
    const silent = peer.start(process.execPath, [
      resolve('test', 'support', 'silent-peer.mjs'),
      `${DEVICE}:6969`,
      '12000',
      ...requests.map((bytes) => bytes.toString('hex')),
    ]);
    expect(await silent.ended, silent.output()).toBe(0);
    const sizes = silent.output().split('\n');
    expect(sizes).toHaveLength(requests.length);
    for (const [index, line] of sizes.entries()) {
      const all: unknown = JSON.parse(line);
      if (!Array.isArray(all)) throw new Error(line);
      const sum = all.reduce((before: number, one) => before + Number(one), 0);
      expect(sum, `request ${index}`).toBeGreaterThan(0);
      expect(sum, `request ${index}: ${line}`).toBeLessThanOrEqual(Math.max(200, 3 * (requests[index]?.length ?? 0)));
    }
  }, 60_000);
});

describe.skipIf(needs('root', 'ip', 'coap-client-notls'))('libcoap’s client on another host', () => {
  /** Runs the client; gives what it printed. */
  async function run(peer: Host, path: string, ...args: string[]): Promise<string> {
    const running = peer.start('coap-client-notls', [...args, `coap://${DEVICE}:6969/${path}`]);
    expect(await running.ended, running.output()).toBe(0);
    return running.output().trim();
  }

  it('gets a long reply to a slow command whole', async () => {
    const { peer } = await startNetwork();
    expect(await run(peer, 'slow', '-m', 'post')).toBe(REPORT);
  });

  it('gets long lists whole, in small blocks, and in large ones when it has shown that it receives', async () => {
    const { peer } = await startNetwork();
    const links = await run(peer, '.well-known/core', '-m', 'get', '-v', '7');
    expect(links).toMatch(/Block2:0\/M\/128.*Echo:/);
    expect(links).toContain('</room-11/light>');
    expect(await run(peer, 'commands', '-m', 'get', '-v', '7')).toMatch(/Block2:0\/M\/1024/);
    expect(JSON.parse(await run(peer, 'commands', '-m', 'get')).length).toBeGreaterThan(HANDLERS);
  });
});

describe.skipIf(needs('root', 'ip'))('messages to the gateway above the limit of an hour', () => {
  it('are refused with an error that says so, and counted, until a reload allows more', async () => {
    const gateway = { address: '192.0.2.2' };
    const { socket, configure } = await startNetwork({ gateway, limits: { fromSimPerHour: 2 } });
    const ask = controlClient(socket);
    await expect.poll(() => existsSync(socket)).toBe(true);
    const send = (text: string) => {
      const body = { type: 'application/octet-stream', bytes: Buffer.from(text) };
      return ask('POST', '/events', sentEventSchema, { body });
    };
    expect([await send('one'), await send('two')]).toEqual([{ state: 'sent' }, { state: 'sent' }]);
    const refused = { code: 'rate-limited', message: expect.stringContaining('limits.fromSimPerHour') };
    await expect(send('three')).rejects.toMatchObject(refused);
    const { counters } = await ask('GET', '/status', statusSchema);
    expect(counters.heldBack).toEqual({ size: 0, 'peer-rate': 0, 'from-sim-rate': 1 });

    // A thousand a second.
    configure({ fromSimPerHour: 3_600_000 });
    await ask('POST', '/reload', reloadedSchema, { answerMs: 10_000 });
    expect(await send('four')).toEqual({ state: 'sent' });
  });
});
