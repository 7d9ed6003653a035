import { resolve } from 'node:path';
import { encode } from 'cborg';
import { describe, expect, it } from 'vitest';
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
async function startNetwork(): Promise<{ readonly peer: Host }> {
  const [peer, device] = twoHosts();
  device.ip('address', 'add', `${DEVICE}/24`, 'dev', 'wwan0');
  peer.ip('address', 'add', '192.0.2.2/24', 'dev', 'wwan0');
  const folder = temporaryFolder();
  const slow = writeScript(`sleep 1.5; printf '%s' '${REPORT}'`, folder);
  const others = Array.from({ length: HANDLERS }, (_, index) => [
    `room-${index}.light`,
    { program: [slow], description: `Switches the light in room ${index} on or off, by and by` },
  ]);
  const config = writeFile(
    folder,
    'config.yaml',
    JSON.stringify({
      listen: { address: DEVICE },
      allow: ['192.0.2.0/24'],
      state: { folder: `${folder}/state` },
      handlers: { slow: { program: [slow], description: 'Takes its time' }, ...Object.fromEntries(others) },
    }),
  );
  const agent = device.start(process.execPath, [program('supersim-agent'), 'run', '--config', config]);
  await agent.line(/"agent started"/);
  return { peer };
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
    // Long enough for a response and two retransmissions.
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
  it('gets long lists and slow replies whole, and in large blocks when it has shown that it receives', async () => {
    const { peer } = await startNetwork();
    const client = async (...args: string[]) => {
      const running = peer.start('coap-client-notls', args);
      expect(await running.ended, running.output()).toBe(0);
      return running.output().trim();
    };
    const url = (path: string) => `coap://${DEVICE}:6969/${path}`;
    const list = async () => JSON.parse(await client('-m', 'get', url('commands')));

    expect(await client('-m', 'post', url('slow'))).toBe(REPORT);
    const fetched = await list();
    expect(fetched.length).toBeGreaterThan(HANDLERS);
    expect(await client('-v', '7', '-m', 'get', url('commands'))).toMatch(/Block2:0\/M\/1024/);
    expect(await client('-m', 'get', url('.well-known/core'))).toContain('</room-11/light>');
  }, 60_000);

  it('is in large blocks after it has followed small ones', async () => {
    const { peer } = await startNetwork();
    const verbose = async () => {
      const running = peer.start('coap-client-notls', ['-v', '7', '-m', 'get', `coap://${DEVICE}:6969/commands`]);
      expect(await running.ended, running.output()).toBe(0);
      return running.output();
    };
    const first = await verbose();
    expect(first).toMatch(/Block2:0\/M\/128/);
    expect(first.match(/"name"/g)?.length).toBeGreaterThan(HANDLERS);
    expect(await verbose()).toMatch(/Block2:0\/M\/1024/);
  }, 60_000);
});
