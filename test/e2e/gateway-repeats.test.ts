import { randomUUID } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createAgent } from '../../agent/agent.js';
import { defineHandler } from '../../agent/handlers/handler.js';
import { CONTENT_FORMAT } from '../../shared/coap/content-format.js';
import { toCbor, toJson } from '../../shared/format/value.js';
import { openApiPeer } from '../support/api-peer.js';
import type { Peer } from '../support/caller.js';
import { requestBytes, summary } from '../support/coap.js';
import { deferred } from '../support/deferred.js';
import { temporaryFolder, writeFile, writeScript } from '../support/files.js';
import { twoHosts } from '../support/namespaces.js';
import { needs } from '../support/needs.js';
import { program } from '../support/process.js';
import { startTestAgent, startTestLoopback } from '../support/round-trip.js';
import { MODEMS } from '../support/story-links.js';
import { openPeer, randomAddress } from '../support/udp.js';

const FORMATS = ['coap', 'json', 'cbor', 'text'] as const;
type Format = (typeof FORMATS)[number];

/** A command for the handler `meter.pulse`, which counts its runs. */
function commandIn(format: Format): Buffer {
  const rpc = { method: 'meter.pulse', params: { unit: format }, id: 'a7' };
  switch (format) {
    case 'coap':
      return requestBytes({
        path: 'meter/pulse',
        token: 'a7',
        contentFormat: CONTENT_FORMAT.text,
        payload: `unit=${format}`,
      });
    case 'json':
      return Buffer.from(toJson(rpc));
    case 'cbor':
      return Buffer.from(toCbor(rpc));
    case 'text':
      return Buffer.from(`#a7 meter.pulse unit=${format}`);
  }
}

/** What an agent says of a command that is still running. */
const saysRunning = (format: Format, reply: Buffer): boolean =>
  format === 'coap' ? summary(reply) === 'ACK 0.00 #1' : reply.includes('running');

/** The words that runs have answered. */
const wordsIn = (file: string, unit: string): string[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`${unit} `))
    .map((line) => line.slice(unit.length + 1));

/** A handler that appends a line to a file, and answers it when the gate is open. */
function createPulse() {
  const file = join(temporaryFolder(), 'runs');
  const gate = deferred();
  const handler = defineHandler({
    name: 'meter.pulse',
    description: 'Counts one',
    run: async (_, { command }) => {
      const word = randomUUID();
      appendFileSync(file, `${command.format} ${word}\n`);
      await gate.promise;
      return word;
    },
  });
  return { file, gate, handler };
}

/** An agent with it, by UDP. */
async function startAgent() {
  const { file, gate, handler } = createPulse();
  const gateway = await openPeer();
  const address = randomAddress();
  const agent = createAgent({
    config: {
      listen: { address },
      gateway: gateway.endpoint,
      allow: ['127.0.0.0/8'],
      state: { folder: temporaryFolder() },
    },
    handlers: [handler],
  });
  await agent.start();
  onTestFinished(() => agent.stop());
  return { file, gate, gateway, device: { address, port: 6969 } };
}

/** Sends a command while there is none, while it runs, and when it has ended, each in its own way. */
async function expectOneRun(
  format: Format,
  { file, gate }: Pick<ReturnType<typeof createPulse>, 'file' | 'gate'>,
  [first, second, third]: readonly [Send, Send, Send],
  next: Peer['next'],
): Promise<void> {
  const bytes = commandIn(format);
  await first(bytes);
  await second(bytes);
  expect(saysRunning(format, (await next()).bytes)).toBe(true);
  gate.resolve();
  const { bytes: answer } = await next();
  await third(bytes);
  const { bytes: repeated } = await next();
  const [word = '', ...others] = wordsIn(file, format);
  expect(others).toEqual([]);
  expect(answer.includes(word)).toBe(true);
  expect(repeated.includes(word)).toBe(true);
}

type Send = (bytes: Buffer) => Promise<void>;

test.each(FORMATS)('%s: a repeat from another of the gateway’s ports is answered, and not run', async (format) => {
  const { gateway, device, ...pulse } = await startAgent();
  const [second, third] = [await openPeer(gateway.endpoint.address), await openPeer(gateway.endpoint.address)];
  const from = (peer: Peer) => (bytes: Buffer) => peer.send(bytes, device);
  await expectOneRun(format, pulse, [from(gateway), from(second), from(third)], gateway.next);
  expect(await second.everythingSoFar()).toEqual([]);
  expect(await third.everythingSoFar()).toEqual([]);
});

describe.each(MODEMS)('by %s', (link) => {
  test.each(FORMATS)('%s: a repeat is answered, and not run', async (format) => {
    const { handler, ...pulse } = createPulse();
    const loopback = await startTestLoopback({}, link);
    const config = { state: { folder: temporaryFolder() } };
    await startTestAgent(loopback, 'gateway-1', { handlers: [handler], config });
    const owner = openApiPeer(loopback);
    const send = (bytes: Buffer) => owner.send(bytes, owner.endpoint);
    await expectOneRun(format, pulse, [send, send, send], owner.next);
  });
});

test.each(FORMATS)('%s: the same bytes from a peer that is not the carrier are its own command', async (format) => {
  const { file, gate, gateway, device } = await startAgent();
  const stranger = await openPeer();
  gate.resolve();
  const answers = [
    await gateway.ask(commandIn(format), device),
    await stranger.ask(commandIn(format), device),
    await stranger.ask(commandIn(format), device),
  ];
  const [first = '', second = '', ...others] = wordsIn(file, format);
  expect(others).toEqual([]);
  expect(answers.map((answer) => [answer.includes(first), answer.includes(second)])).toEqual([
    [true, false],
    [false, true],
    [false, true],
  ]);
});

test.skipIf(needs('root', 'ip'))(
  'a repeat from another of the carrier’s addresses is answered to the gateway, and not run',
  async () => {
    const [network, device] = twoHosts();
    for (const address of ['100.64.0.1', '100.99.9.9']) network.ip('address', 'add', `${address}/10`, 'dev', 'wwan0');
    device.ip('address', 'add', '100.64.0.123/10', 'dev', 'wwan0');
    const folder = temporaryFolder();
    const script = writeScript(
      'word=$(cat /proc/sys/kernel/random/uuid); echo "$SUPERSIM_PARAM_UNIT $word" >> runs; echo "$word"',
      folder,
    );
    const config = writeFile(
      folder,
      'config.yaml',
      `handlers: { meter.pulse: { program: [${script}], directory: ${folder} } }\nstate: { folder: ${folder}/state }\n`,
    );
    const agent = device.start(process.execPath, [program('supersim-agent'), 'run', '--config', config]);
    await agent.line(/"agent started"/);

    for (const format of FORMATS) {
      const hex = commandIn(format).toString('hex');
      const sources = ['100.64.0.1:6969', '100.64.0.1:40001', '100.99.9.9:6969', '100.99.9.9:40002'];
      const sender = network.start(process.execPath, [
        resolve('test', 'support', 'carrier.mjs'),
        '100.64.0.123:6969',
        hex,
        ...sources,
      ]);
      expect(await sender.ended, sender.output()).toBe(0);
      const replies = sender.output().split('\n');
      const words = wordsIn(join(folder, 'runs'), format);
      expect(words, format).toHaveLength(1);
      expect(replies, format).toHaveLength(sources.length);
      const [word = ''] = words;
      for (const reply of replies) expect(Buffer.from(reply, 'hex').includes(word), format).toBe(true);
    }
  },
);
