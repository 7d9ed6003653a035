import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createManagedAgent } from '../../../agent/agent.js';
import { resolveConfig } from '../../../agent/config/load.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import type { Endpoint } from '../../../agent/transport/endpoint.js';
import { formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { libcoapRoot, ROOT_TIMEOUT_MS } from '../../support/debian-root.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { coapClient, writeOscoreConf } from '../../support/libcoap.js';
import { needs } from '../../support/needs.js';
import { flippedMessages, KEY } from '../../support/oscore.js';
import type { Captured } from '../../support/pcap.js';
import { keyFileText } from '../../support/security.js';
import { readWithKey } from '../../support/tshark.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const PORT = 5683;
/** All byte values, and no two blocks alike. */
const LONG = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index ^ (index >> 8)) & 0xff));

/** An agent with a key, what its handlers got, and a relay before it that keeps all datagrams. */
async function startAgent() {
  const folder = temporaryFolder();
  const keys = join(folder, 'keys');
  mkdirSync(keys, { mode: 0o700 });
  writeFile(keys, 'libcoap.json', Buffer.from(keyFileText()));
  const runs: unknown[] = [];
  const store = defineHandler({
    name: 'script.store',
    description: 'Keeps a script',
    run: (_, { command }) => {
      runs.push(command.params.positional[0] ?? command.params.named);
      return 'stored';
    },
  });
  const read = defineHandler({ name: 'log.read', description: 'Gives the log', safe: true, run: () => LONG });
  const address = randomAddress();
  const config = resolveConfig({
    listen: { address, ports: [PORT], receiveBufferBytes: 65_536 },
    allow: ['127.0.0.0/8'],
    state: { folder: join(folder, 'state') },
    security: { keys },
  });
  const agent = createManagedAgent(config, { handlers: [store, read], trustsClock: true });
  await agent.start();
  onTestFinished(() => agent.stop());
  const { endpoint, captured } = await startRelay({ address, port: PORT });
  const conf = writeOscoreConf(folder);
  const url = (path: string) => `coap://${endpoint.address}:${endpoint.port}/${path}`;
  const ask = (path: string, ...args: string[]) => coapClient('-E', conf, ...args, url(path));
  const denied = () => agent.status().counters.denied;
  return { agent, folder, runs, captured, url, ask, denied, endpoint: { address, port: PORT } };
}

/** Passes datagrams on between one client at a time and the agent. */
async function startRelay(agent: Endpoint) {
  const [front, back] = [createSocket('udp4'), createSocket('udp4')];
  const address = randomAddress();
  front.bind(PORT, address);
  back.bind(0, address);
  await Promise.all([once(front, 'listening'), once(back, 'listening')]);
  const endpoint = { address, port: PORT };
  const captured: Captured[] = [];
  let client: Endpoint | undefined;
  front.on('message', (bytes, from) => {
    client = { address: from.address, port: from.port };
    captured.push({ from: client, to: endpoint, bytes });
    back.send(bytes, agent.port, agent.address);
  });
  back.on('message', (bytes) => {
    if (client === undefined) return;
    captured.push({ from: endpoint, to: client, bytes });
    front.send(bytes, client.port, client.address);
  });
  onTestFinished(() => {
    front.close();
    back.close();
  });
  return { endpoint, captured };
}

describe.skipIf(needs('mmdebstrap', 'tshark'))('libcoap’s client with OSCORE', () => {
  beforeAll(libcoapRoot, ROOT_TIMEOUT_MS);

  it('is challenged at its first request, and then discovers, gets and posts', async () => {
    const { ask, denied, runs } = await startAgent();
    expect(await ask('ping', '-m', 'get')).toEqual({ code: 0, output: 'pong' });
    expect(denied()).toMatchObject({ stale: 1, replay: 0 });
    expect((await ask('.well-known/core', '-m', 'get')).output).toContain('</script/store>;title="Keeps a script"');
    expect((await ask('echo', '-m', 'post', '-e', 'one two')).output).toBe('["one","two"]');
    expect((await ask('script/store', '-N', '-m', 'post', '-t', '50', '-e', '{"a":1}')).output).toBe('"stored"');
    expect((await ask('nothing', '-m', 'get')).output).toContain('4.04');
    expect(runs).toEqual([{ a: 1 }]);
    expect(denied()).toMatchObject({ stale: 1, replay: 0, 'bad-tag': 0 });
  });

  it('gets and posts 20 kB in blocks, each protected', async () => {
    const { ask, captured, folder, runs } = await startAgent();
    const file = join(folder, 'reply');
    expect(await ask('log/read', '-m', 'get', '-o', file)).toEqual({ code: 0, output: '' });
    expect(readFileSync(file).equals(LONG)).toBe(true);
    const body = writeFile(folder, 'body', LONG);
    expect((await ask('script/store', '-m', 'post', '-t', '42', '-f', body)).output).toContain('stored');
    expect(runs).toEqual([LONG]);
    expect(captured.length).toBeGreaterThan(2 * 20);
    // Neither a path nor a piece of the body is to be read on the way.
    const onTheWay = Buffer.concat(captured.map(({ bytes }) => bytes));
    expect(onTheWay.includes('script')).toBe(false);
    expect(onTheWay.includes(LONG.subarray(1000, 1016))).toBe(false);
  });

  it('with another key, or none, gets nothing', async () => {
    const { agent, folder, url, runs, denied } = await startAgent();
    const wrong = writeOscoreConf(folder, { secret: Buffer.alloc(16, 9) });
    expect((await coapClient('-E', wrong, '-B', '2', '-m', 'post', '-e', 'x', url('script/store'))).output).toMatch(
      /4\.00|Decryption failed|^$/,
    );
    const unknown = writeOscoreConf(folder, { kid: 7 });
    expect((await coapClient('-E', unknown, '-B', '2', '-m', 'post', '-e', 'x', url('script/store'))).output).toMatch(
      /4\.01|Security context not found|^$/,
    );
    expect((await coapClient('-m', 'post', '-e', 'x', url('script/store'))).output).toContain('4.01');
    expect(runs).toEqual([]);
    expect(denied()).toMatchObject({ 'bad-tag': 1, 'unknown-kid': 1 });
    expect(agent.status().counters.outcomes.done).toBe(0);
  });

  it('has its captured datagrams refused when they are sent again, in other messages or with any bit changed', async () => {
    const { ask, captured, endpoint, runs, agent } = await startAgent();
    expect((await ask('script/store', '-m', 'post', '-e', 'x')).output).toContain('stored');
    const attacker = await openPeer();
    const requests = captured.filter(({ to }) => to.port === PORT).map(({ bytes }) => bytes);
    const altered = requests.flatMap((bytes) => {
      const message = parseMessage(bytes);
      return flippedMessages(message).map((flipped) => formatMessage({ ...message, ...flipped }));
    });
    for (const bytes of [...requests, ...altered]) await attacker.send(bytes, endpoint);
    const { received } = agent.status().counters;
    await expect.poll(() => agent.status().counters.received).toBeGreaterThanOrEqual(received);
    // A last request that is answered: all before it have been handled.
    expect((await ask('ping', '-m', 'get')).output).toBe('pong');
    expect(runs).toHaveLength(1);
  });

  it('exchanges messages with the agent that Wireshark finds well-formed and can open with the key', async () => {
    const { ask, captured } = await startAgent();
    await ask('ping', '-m', 'get');
    await ask('log/read', '-m', 'get');
    await ask('script/store', '-m', 'post', '-e', 'x');
    const { malformed, notices, unprotected, text } = await readWithKey(captured, KEY);
    expect({ malformed, notices, unprotected }).toEqual({ malformed: [], notices: [], unprotected: [] });
    for (const path of ['/ping', '/log/read', '/script/store']) expect(text).toContain(path);
  });
});
