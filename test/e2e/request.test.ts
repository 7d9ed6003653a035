import { expect, test } from 'vitest';
import * as z from 'zod';
import type { ConfigInput } from '../../agent/config/schema.js';
import { defineHandler } from '../../agent/handlers/handler.js';
import type { FaultsInput, Loopback } from '../../loopback/index.js';
import { createRequester, IpCommandClient, pollingReplies } from '../../sender/index.js';
import { deferred } from '../support/deferred.js';
import { startTestAgent, startTestLoopback } from '../support/round-trip.js';

/** The protocol's times are a thousandth: what waits 30 s on the radio waits 30 ms here. */
const TIME_SCALE = 0.001;
const LONG = 'ä1234567 '.repeat(2048);

function requesterOf(loopback: Loopback, timeScale = TIME_SCALE) {
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl, timeout: '5s' });
  return createRequester({ client, replies: pollingReplies(client, { interval: 5 }), timeScale });
}

/** An agent with handlers that count their runs, and a request function for its SIM. */
async function start(
  { faults, timeScale }: { faults?: FaultsInput; timeScale?: number } = {},
  config: ConfigInput = {},
) {
  const loopback = await startTestLoopback({ ...(faults && { faults }), seed: 7 });
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
  const request = requesterOf(loopback, timeScale);
  return { loopback, agent, request: request.bind(undefined, 'gateway-1'), runs, gate };
}

test.each(['coap', 'json', 'cbor', 'text'] as const)('%s: done, failed and refused are told apart', async (format) => {
  const { request, runs } = await start({ timeScale: 1 });
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
});

test('a safe command is asked for by GET', async () => {
  const { request } = await start({ timeScale: 1 });
  expect(await request('ping', undefined, { get: true })).toMatchObject({ outcome: 'done', result: 'pong' });
  expect(await request('echo', { a: 'x y' }, { get: true })).toMatchObject({ outcome: 'done', result: { a: 'x y' } });
  expect(await request('dump', undefined, { get: true })).toMatchObject({ outcome: 'refused' });
});

test('20 kB come back in blocks, and the handler runs once', async () => {
  const { request, runs } = await start({ timeScale: 1 });
  const blocks: unknown[] = [];
  const result = await request('dump', undefined, {
    onProgress: (progress) => progress.type === 'block' && blocks.push(progress.block),
  });
  expect(result).toMatchObject({ outcome: 'done', result: LONG, attempts: 1 });
  expect(blocks).toHaveLength(19);
  expect(blocks.at(-1)).toEqual({ way: 'up', number: 19, total: 20 });
  expect(runs.count).toBe(1);
});

test('10 kB go down in blocks', async () => {
  const { request, runs } = await start({ timeScale: 1 });
  const result = await request('length', { text: 'x'.repeat(10_240) });
  expect(result).toMatchObject({ outcome: 'done', result: 10_240 });
  expect(runs.count).toBe(1);
});

test.each(['coap', 'json', 'cbor', 'text'] as const)(
  '%s: a slow handler is accepted first, and done later',
  async (format) => {
    const { request, runs, gate } = await start();
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
  const { request, runs } = await start({ faults: { up: { loss: [1, 2] } } });
  const result = await request('relay.set', { channel: 2, on: false }, { format, timeout: '10s' });
  expect(result).toMatchObject({ outcome: 'done', attempts: 3 });
  expect(runs.count).toBe(1);
});

test('a device that is not attached was not sent to', async () => {
  const { loopback, request, runs } = await start();
  loopback.setSimState('detached', 'gateway-1');
  expect(await request('dump')).toMatchObject({ outcome: 'not-sent', attempts: 1, error: { code: 'not-delivered' } });
  expect(runs.count).toBe(0);
});

test('an unknown SIM is refused by the API', async () => {
  const loopback = await startTestLoopback();
  expect(await requesterOf(loopback)('nobody', 'ping')).toMatchObject({
    outcome: 'not-sent',
    error: { code: 'api-error', vendorCode: 20_404 },
  });
});

test('an API that is gone is told from a device that is', async () => {
  const { loopback, agent, request } = await start();
  await agent.stop();
  expect(await request('ping', undefined, { timeout: '1s' })).toMatchObject({
    outcome: 'no-answer',
    attempts: 5,
    error: { code: 'no-answer' },
  });
  await loopback.stop();
  const result = await request('ping', undefined, { timeout: '1s' });
  expect(result).toMatchObject({ outcome: 'not-sent', attempts: 0, error: { code: 'api-unreachable' } });
});

test('a deadline travels with the command', async () => {
  // Whether the clock of this machine is synchronised is not known.
  const { request } = await start({}, { deadline: { unsynchronized: 'run' } });
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

test('many requests at once, over a radio that loses, doubles and reorders, each end truly', async () => {
  const { request, runs } = await start({
    faults: { loss: 0.2, duplicate: 0.1, reorder: 0.1, reorderDelay: '20ms' },
    timeScale: 0.003,
  });
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, channel) => request('relay.set', { channel, on: true }, { timeout: '3s' })),
  );
  for (const [channel, result] of results.entries()) {
    if (result.outcome === 'done') expect(result.result).toEqual({ channel, on: true });
    else expect(result.outcome).toBe('no-answer');
  }
  const done = results.filter(({ outcome }) => outcome === 'done').length;
  expect(done).toBeGreaterThanOrEqual(36);
  expect(runs.count).toBeGreaterThanOrEqual(done);
  expect(runs.count).toBeLessThanOrEqual(40);
});
