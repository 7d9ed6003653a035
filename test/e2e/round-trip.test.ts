import { decode as decodeCbor, encode as encodeCbor } from 'cborg';
import twilio from 'twilio';
import { describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { defineHandler } from '../../agent/handlers/handler.js';
import type { Loopback } from '../../loopback/index.js';
import { payloadBytes } from '../../shared/ip-command.js';
import { nextReply, nextReplyBytes, startTestAgent, startTestLoopback } from '../support/round-trip.js';
import { LINKS, longestReply } from '../support/story-links.js';
import { randomAddress } from '../support/udp.js';

/** By each link, and from each port of the network that commands may leave from. */
const WAYS = LINKS.flatMap((link) => (['other', 'gateway'] as const).map((sourcePort) => ({ link, sourcePort })));

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

/** The vendor's own client, pointed at the loopback. */
function clientOf({ accountSid, authToken, url }: Loopback) {
  vi.stubEnv('TWILIO_EDGE', undefined);
  vi.stubEnv('TWILIO_REGION', undefined);
  const client = twilio(accountSid, authToken);
  client.supersim.baseUrl = url;
  return client.supersim.v1.ipCommands;
}

async function post(loopback: Loopback, payload: string | Uint8Array, { sim = 'gateway-1', devicePort = 6969 } = {}) {
  const typed =
    typeof payload === 'string'
      ? { payload, payloadType: 'text' as const }
      : { payload: Buffer.from(payload).toString('base64'), payloadType: 'binary' as const };
  return clientOf(loopback).create({ sim, devicePort, ...typed });
}

describe.each(WAYS)('by $link, from the $sourcePort port of the network', ({ link, sourcePort }) => {
  test('a text command is answered in text, under its id', async () => {
    const loopback = await startTestLoopback({ sourcePort }, link);
    await startTestAgent(loopback);
    const reply = nextReplyBytes(loopback);
    await post(loopback, '#7 ping');
    expect((await reply).toString()).toBe('#7 ok pong');
  });

  test('a JSON-RPC request is answered in JSON-RPC', async () => {
    const loopback = await startTestLoopback({ sourcePort }, link);
    await startTestAgent(loopback);
    const reply = nextReplyBytes(loopback);
    await post(loopback, JSON.stringify({ jsonrpc: '2.0', method: 'echo', params: { a: [1, 'ü'] }, id: 'x' }));
    expect(JSON.parse((await reply).toString())).toEqual({ jsonrpc: '2.0', result: { a: [1, 'ü'] }, id: 'x' });
  });

  test('a CBOR request is answered in CBOR, with every byte value intact', async () => {
    const loopback = await startTestLoopback({ sourcePort }, link);
    await startTestAgent(loopback);
    const reply = nextReplyBytes(loopback);
    await post(loopback, encodeCbor({ method: 'echo', params: [EVERY_BYTE], id: 1 }));
    const { result, id } = z
      .object({ result: z.instanceof(Uint8Array), id: z.number() })
      .parse(decodeCbor(await reply));
    expect({ result: Buffer.from(result), id }).toEqual({ result: EVERY_BYTE, id: 1 });
  });

  test('bytes on a raw port go whole to its handler, and its bytes come back from that port', async () => {
    const loopback = await startTestLoopback({ sourcePort }, link);
    const reverse = defineHandler({
      name: 'reverse',
      description: 'Gives bytes back in reverse',
      run: (params) => (params instanceof Uint8Array ? Buffer.from(params).reverse() : undefined),
    });
    const raw = { port: 7001, format: 'raw', handler: 'reverse' } as const;
    // This one listens on one port only.
    const ports = link === 'simcom7600' ? [raw] : [6969, raw];
    await startTestAgent(loopback, 'gateway-1', { handlers: [reverse], config: { listen: { ports } } });
    const reply = nextReply(loopback);
    await post(loopback, EVERY_BYTE, { devicePort: 7001 });
    const command = await reply;
    expect(payloadBytes(command)).toEqual(Buffer.from(EVERY_BYTE).reverse());
    expect(command.device_port).toBe(7001);
  });
});

test.each(['other', 'gateway'] as const)('two SIMs on two addresses do not mix: %s port', async (sourcePort) => {
  const loopback = await startTestLoopback({
    sourcePort,
    sims: [
      { name: 'north', address: randomAddress() },
      { name: 'south', address: randomAddress() },
    ],
  });
  await startTestAgent(loopback, 'north', { config: { device: { id: 'device-north' } } });
  await startTestAgent(loopback, 'south', { config: { device: { id: 'device-south' } } });
  const replies = Promise.all([nextReplyBytes(loopback, 'north'), nextReplyBytes(loopback, 'south')]);
  await post(loopback, '#1 info', { sim: 'north' });
  await post(loopback, '#1 info', { sim: 'south' });
  const [north, south] = await replies;
  expect(north.toString()).toContain('device=device-north');
  expect(south.toString()).toContain('device=device-south');
  const listed = await clientOf(loopback).list({ sim: 'north', direction: 'from_sim' });
  expect(listed.map(({ payload }) => Buffer.from(payload, 'base64').toString())).toEqual([north.toString()]);
});

describe.each(LINKS)('by %s', (link) => {
  test('a reply that is too long comes back cut, in one datagram, and says how long it was', async () => {
    const loopback = await startTestLoopback({}, link);
    const long = defineHandler({ name: 'long', description: 'Answers 5000 bytes', run: () => 'x'.repeat(5000) });
    await startTestAgent(loopback, 'gateway-1', { handlers: [long] });
    const reply = nextReplyBytes(loopback);
    await post(loopback, '#1 long');
    const bytes = await reply;
    expect(bytes.length).toBe(longestReply(link));
    expect(bytes.toString()).toMatch(/^#1 ok x+ …\[cut, 5000 bytes\]$/);
  });

  test('an event comes to the owner unasked', async () => {
    const loopback = await startTestLoopback({}, link);
    const agent = await startTestAgent(loopback);
    const first = nextReply(loopback);
    await agent.emit('door.opened', { door: 3 });
    const command = await first;
    expect(JSON.parse(payloadBytes(command).toString())).toEqual({ event: 'door.opened', data: { door: 3 } });
    expect(command.device_port).toBe(6969);
    const second = nextReplyBytes(loopback);
    await agent.emit(EVERY_BYTE);
    expect(await second).toEqual(EVERY_BYTE);
  });

  test('a handler can emit an event besides its reply', async () => {
    const loopback = await startTestLoopback({}, link);
    const noisy = defineHandler({
      name: 'noisy',
      description: 'Sends an event before it answers',
      run: async (_params, context) => {
        await context.emit('working', { on: context.command.name });
        return 'finished';
      },
    });
    await startTestAgent(loopback, 'gateway-1', { handlers: [noisy] });
    const event = nextReplyBytes(loopback);
    await post(loopback, '#1 noisy');
    expect(JSON.parse((await event).toString())).toEqual({ event: 'working', data: { on: 'noisy' } });
    await vi.waitFor(async () => {
      const listed = await clientOf(loopback).list({ direction: 'from_sim' });
      expect(listed.map(({ payload }) => Buffer.from(payload, 'base64').toString())).toContain('#1 ok finished');
    });
  });
});
