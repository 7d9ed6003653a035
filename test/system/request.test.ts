import { describe, expect, test, vi } from 'vitest';
import * as z from 'zod';
import type { ConfigInput } from '../../agent/config/schema.js';
import { defineHandler } from '../../agent/handlers/handler.js';
import type { FaultsInput, Loopback } from '../../loopback/index.js';
import { createRequester, IpCommandClient, pollingReplies } from '../../sender/index.js';
import { deferred } from '../support/deferred.js';
import { temporaryFolder, writeScript } from '../support/files.js';
import { startTestAgent, startTestLoopback } from '../support/round-trip.js';
import { LINKS, longestReply, MODEMS, type StoryLink } from '../support/story-links.js';

/** The protocol's times are a thousandth: what waits 30 s on the radio waits 30 ms here. */
const TIME_SCALE = 0.001;
/** A modem’s line takes longer than a socket. */
const MODEM_TIME_SCALE = 0.005;
const LONG = 'ä1234567 '.repeat(2048);
const LONG_BYTES = 20_480;

function requesterOf(loopback: Loopback, timeScale = TIME_SCALE) {
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl, timeout: '5s' });
  return createRequester({ client, replies: pollingReplies(client, { interval: 5 }), timeScale });
}

/** An agent with handlers that count their runs, and a request function for its SIM. */
async function start(
  link: StoryLink,
  { faults, timeScale }: { faults?: FaultsInput; timeScale?: number } = {},
  config: ConfigInput = {},
) {
  const loopback = await startTestLoopback({ ...(faults && { faults }), seed: 7 }, link);
  const runs = { count: 0 };
  const gate = deferred<string>();
  const handlers = [
    defineHandler({
      name: 'relay.set',
      description: 'Counts',
      params: z.object({ channel: z.int(), on: z.boolean() }),
      run: ({ channel, on }) => {
        runs.count++;
        return { channel, on };
      },
    }),
    defineHandler({
      name: 'dump',
      description: 'Gives a long text',
      run: () => {
        runs.count++;
        return LONG;
      },
    }),
    defineHandler({
      name: 'length',
      description: 'Measures',
      params: z.object({ text: z.string() }),
      run: ({ text }) => {
        runs.count++;
        return text.length;
      },
    }),
    defineHandler({
      name: 'break',
      description: 'Fails',
      run: () => {
        throw new Error('the relay is stuck');
      },
    }),
    defineHandler({
      name: 'slow',
      description: 'Takes its time',
      run: () => {
        runs.count++;
        return gate.promise;
      },
    }),
  ];
  const agent = await startTestAgent(loopback, 'gateway-1', { handlers, config });
  const request = requesterOf(loopback, timeScale ?? (link === 'udp' ? TIME_SCALE : MODEM_TIME_SCALE));
  return { loopback, agent, request: request.bind(undefined, 'gateway-1'), runs, gate };
}

test('an unknown SIM is refused by the API', async () => {
  const loopback = await startTestLoopback();
  expect(await requesterOf(loopback)('nobody', 'ping')).toMatchObject({
    outcome: 'not-sent',
    error: { code: 'api-error', vendorCode: 20_404 },
  });
});

/** The modem whose longest reply is shorter than a datagram is there in any case. */
const BLOCK_LINKS = [...new Set<StoryLink>([...LINKS, ...(MODEMS.length > 0 ? (['ublox'] as const) : [])])];

test.each(BLOCK_LINKS)(
  '%s: a reply of 20 kB and a payload of 10 kB are transferred in blocks, and each handler runs once',
  { timeout: 60_000 },
  async (link) => {
    const { request, runs } = await start(link, { timeScale: 1 });
    const blocks: unknown[] = [];
    const result = await request('dump', undefined, {
      onProgress: (progress) => progress.type === 'block' && blocks.push(progress.block),
    });
    expect(result).toMatchObject({ outcome: 'done', result: LONG, attempts: 1 });
    const total = LONG_BYTES / (longestReply(link) > 1024 ? 1024 : 512);
    expect(blocks).toHaveLength(total - 1);
    expect(blocks.at(-1)).toEqual({ way: 'up', number: total - 1, total });
    expect(await request('length', { text: 'x'.repeat(10_240) })).toMatchObject({ outcome: 'done', result: 10_240 });
    expect(runs.count).toBe(2);
  },
);

describe.each(LINKS)('by %s', (link) => {
  test.each(['coap', 'json', 'cbor', 'text'] as const)(
    '%s: the outcomes done, failed and refused are distinguished',
    async (format) => {
      const { request, runs } = await start(link, { timeScale: 1 });
      const params = { channel: 1, on: true };
      const done = await request('relay.set', params, { format });
      const result = format === 'text' ? 'channel=1 on=true' : params;
      expect(done).toMatchObject({ outcome: 'done', result, attempts: 1 });
      expect(done.timings.ended).toBeGreaterThanOrEqual(done.timings.sent ?? Number.NaN);
      expect(done.apiCalls).toBeGreaterThanOrEqual(3);
      expect(await request('break', undefined, { format })).toMatchObject({
        outcome: 'failed',
        error: { code: 'handler-failed', message: 'the relay is stuck' },
      });
      expect(await request('no.such', undefined, { format })).toMatchObject({
        outcome: 'refused',
        error: { code: 'unknown-command' },
      });
      expect(await request('relay.set', { channel: 'x' }, { format })).toMatchObject({
        outcome: 'refused',
        error: { code: 'bad-params' },
      });
      expect(runs.count).toBe(1);
    },
  );

  test('a safe command is requested by GET', async () => {
    const { request } = await start(link, { timeScale: 1 });
    expect(await request('ping', undefined, { get: true })).toMatchObject({ outcome: 'done', result: 'pong' });
    expect(await request('echo', { a: 'x y' }, { get: true })).toMatchObject({ outcome: 'done', result: { a: 'x y' } });
    expect(await request('dump', undefined, { get: true })).toMatchObject({ outcome: 'refused' });
  });

  test.each(['coap', 'json', 'cbor', 'text'] as const)(
    '%s: a slow command is acknowledged as accepted, and answered when it is done',
    async (format) => {
      const { request, runs, gate } = await start(link);
      const result = await request('slow', undefined, {
        format,
        timeout: '10s',
        onProgress: (progress) => progress.type === 'accepted' && gate.resolve('finished'),
      });
      expect(result).toMatchObject({ outcome: 'done', result: 'finished' });
      expect(result.timings.accepted).toBeDefined();
      expect(result.attempts).toBeGreaterThan(1);
      expect(runs.count).toBe(1);
    },
  );

  test.each(['coap', 'json', 'cbor', 'text'] as const)('%s: a lost reply is fetched by a repeat', async (format) => {
    const { request, runs } = await start(link, { faults: { up: { loss: [1, 2] } } });
    const result = await request('relay.set', { channel: 2, on: false }, { format, timeout: '10s' });
    expect(result).toMatchObject({ outcome: 'done' });
    expect(result.attempts).toBeGreaterThanOrEqual(3);
    expect(runs.count).toBe(1);
  });

  test('a command to a device that is not attached is reported as not sent', async () => {
    const { loopback, request, runs } = await start(link);
    loopback.setSimState('detached', 'gateway-1');
    expect(await request('dump')).toMatchObject({ outcome: 'not-sent', attempts: 1, error: { code: 'not-delivered' } });
    expect(runs.count).toBe(0);
  });

  test('an unreachable API is distinguished from an unreachable device', async () => {
    const { loopback, agent, request } = await start(link, { timeScale: 0.01 });
    await agent.stop();
    expect(await request('ping', undefined, { timeout: '3s' })).toMatchObject({
      outcome: 'no-answer',
      attempts: 5,
      error: { code: 'no-answer' },
    });
    await loopback.stop();
    const result = await request('ping', undefined, { timeout: '1s' });
    expect(result).toMatchObject({ outcome: 'not-sent', attempts: 0, error: { code: 'api-unreachable' } });
  });

  test('a deadline is sent with the command', async () => {
    // Whether the clock of this machine is synchronised is not known.
    const { request } = await start(link, {}, { deadline: { unsynchronized: 'run' } });
    const past = Math.floor(Date.now() / 1000) - 1;
    expect(await request('ping', undefined, { deadline: past })).toMatchObject({
      outcome: 'not-sent',
      attempts: 0,
      error: { code: 'expired' },
    });
    for (const format of ['coap', 'json', 'cbor'] as const) {
      const result = await request('ping', undefined, { deadline: past + 600, format });
      expect(result).toMatchObject({ outcome: 'done', result: 'pong' });
    }
  });

  test('a command that comes too late is refused', async () => {
    const tools = temporaryFolder();
    writeScript('echo yes', tools, 'timedatectl');
    vi.stubEnv('PATH', `${tools}:${process.env['PATH']}`);
    const { loopback, request, runs } = await start(link, { timeScale: 1 });
    const now = Math.floor(Date.now() / 1000);
    const set = (format: 'coap' | 'json' | 'cbor', channel: number, deadline: number) =>
      request('relay.set', { channel, on: true }, { format, deadline });
    expect(await set('coap', 0, now + 600)).toMatchObject({ outcome: 'done' });
    loopback.setFaults({ down: { delay: '2500ms' } });
    const late = await Promise.all([set('coap', 1, now + 2), set('json', 2, now + 2), set('cbor', 3, now + 2)]);
    for (const result of late) expect(result).toMatchObject({ outcome: 'refused', error: { code: 'expired' } });
    expect(runs.count).toBe(1);
  });

  test('many concurrent requests over a radio that loses, duplicates and reorders end with the outcome that their handlers had', async () => {
    const { loopback, request, runs } = await start(link, { timeScale: link === 'udp' ? 0.006 : 0.012 });
    // By then the device has read its journal: a request does not use up its repeats while that is read.
    expect(await request('relay.set', { channel: 0, on: true })).toMatchObject({ outcome: 'done' });
    const before = runs.count;
    loopback.setFaults({ loss: 0.2, duplicate: 0.1, reorder: 0.1, reorderDelay: '20ms' });
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, channel) => request('relay.set', { channel, on: true }, { timeout: '40s' })),
    );
    for (const [channel, result] of results.entries()) {
      if (result.outcome === 'done') expect(result.result).toEqual({ channel, on: true });
      else expect(result.outcome).toBe('no-answer');
    }
    const done = results.filter(({ outcome }) => outcome === 'done').length;
    expect(done).toBeGreaterThanOrEqual(36);
    expect(runs.count - before).toBeGreaterThanOrEqual(done);
    expect(runs.count - before).toBeLessThanOrEqual(40);
  });
});
