import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type DeviceEvent, eventOfCommand } from '../../../sender/listen/event.js';
import {
  createForwarder,
  type ForwarderOptions,
  type ForwardResult,
  MAX_CONCURRENT_FORWARDS,
  MAX_QUEUED,
  RETRY_FOR_MS,
} from '../../../sender/listen/forward.js';
import { closedUrl, ipCommand, json, rejection, startApi } from '../support.js';

const heard = (number: number): DeviceEvent =>
  eventOfCommand(ipCommand(number, { direction: 'from_sim', status: 'received', payload: `{"event":"e${number}"}` }));

const io: ForwarderOptions['io'] = {
  fetch: (url, init) => fetch(url, init),
  sleep: (ms, signal) => delay(ms / 1000, undefined, signal === undefined ? {} : { signal }),
  random: () => 0.5,
  now: Date.now,
};

function start(url: string, given: Partial<ForwarderOptions['io']> = {}) {
  const ended: [string | undefined, ForwardResult][] = [];
  const forwarder = createForwarder({
    url: new URL(url),
    io: { ...io, ...given },
    onDone: async ({ sid }, result) => void ended.push([sid, result]),
  });
  return { ...forwarder, ended };
}

describe('forwarding an event', () => {
  it('posts it as JSON', async () => {
    const api = await startApi((response) => json(response, 200, {}));
    const { push, stop, ended } = start(`${api.url}/supersim?x=1`);
    await push(heard(1));
    expect(await stop(1000)).toBe(0);
    expect(api.seen[0]).toMatchObject({ method: 'POST', url: '/supersim?x=1' });
    expect(api.seen[0]?.headers['content-type']).toBe('application/json');
    expect(JSON.parse(api.seen[0]?.body ?? '')).toMatchObject({
      ...{ sid: ipCommand(1).sid, kind: 'event', format: 'json', event: 'e1', direction: 'from_sim' },
    });
    expect(ended).toEqual([[ipCommand(1).sid, { ok: true, answer: 'HTTP 200', attempts: 1 }]]);
  });

  it.each([408, 429, 500, 503])('is tried again after HTTP %i', async (status) => {
    const api = await startApi((response, _, count) => json(response, count < 4 ? status : 204, {}));
    const { push, stop, ended } = start(api.url);
    await push(heard(1));
    expect(await stop(5000)).toBe(0);
    expect(ended).toMatchObject([[ipCommand(1).sid, { ok: true, attempts: 4 }]]);
  });

  it.each([301, 400, 404, 410])('does not retry after HTTP %i', async (status) => {
    const api = await startApi((response) => response.writeHead(status, { location: '/elsewhere' }).end());
    const { push, stop, ended } = start(api.url);
    await push(heard(1));
    expect(await stop(5000)).toBe(0);
    expect(ended).toMatchObject([[ipCommand(1).sid, { ok: false, answer: `HTTP ${status}`, attempts: 1 }]]);
    expect(api.seen).toHaveLength(1);
  });

  it('retries with growing waits while the server is unreachable', async () => {
    const slept: number[] = [];
    const url = await closedUrl();
    const { push, stop } = start(url, {
      sleep: async (ms) => {
        slept.push(ms);
        if (slept.length === 8) throw new Error('enough');
      },
    });
    await push(heard(1));
    expect(await stop(5000)).toBe(1);
    expect(slept).toEqual([125, 250, 500, 1000, 2000, 4000, 4000, 4000]);
  });

  it('needs no more of an answer than its status', async () => {
    const api = await startApi((response) => response.writeHead(200).end(Buffer.alloc(10_000_000)));
    const { push, stop, ended } = start(api.url);
    for (let number = 1; number <= 20; number++) await push(heard(number));
    expect(await stop(5000)).toBe(0);
    expect(ended).toHaveLength(20);
  });
});

describe('the queue of a forwarder', () => {
  it('has a bounded number of concurrent requests and of events; push() waits for room', async () => {
    const held: (() => void)[] = [];
    let most = 0;
    const api = await startApi((response) => {
      held.push(() => json(response, 200, {}));
      most = Math.max(most, held.length);
    });
    const { push, stop, ended } = start(api.url);
    for (let number = 1; number <= MAX_QUEUED; number++) await push(heard(number));
    let pushed = false;
    const one = push(heard(MAX_QUEUED + 1)).then(() => {
      pushed = true;
    });
    await expect.poll(() => held).toHaveLength(MAX_CONCURRENT_FORWARDS);
    await delay(50);
    expect(pushed).toBe(false);
    held.shift()?.();
    await one;
    const release = setInterval(() => {
      for (const answer of held.splice(0)) answer();
    }, 1);
    expect(await stop(60_000)).toBe(0);
    clearInterval(release);
    expect(ended).toHaveLength(MAX_QUEUED + 1);
    expect(most).toBe(MAX_CONCURRENT_FORWARDS);
  });

  it('counts the events that stop() aborts', async () => {
    const api = await startApi(() => undefined);
    const { push, stop, ended } = start(api.url);
    for (let number = 1; number <= 20; number++) await push(heard(number));
    expect(await stop(50)).toBe(20);
    expect(ended).toEqual([]);
    expect(await rejection(push(heard(21)))).toEqual(new Error('ended'));
  });
});

describe('the times of a forwarder', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('bound the retries, and each attempt', async () => {
    const fetched: AbortSignal[] = [];
    const { push, ended } = start('http://127.0.0.1:1', {
      fetch: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          if (signal) fetched.push(signal);
          signal?.addEventListener('abort', () => reject(signal.reason));
        }),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    });
    await push(heard(1));
    await vi.advanceTimersByTimeAsync(RETRY_FOR_MS - 20_000);
    expect(ended).toEqual([]);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(ended).toMatchObject([[ipCommand(1).sid, { ok: false, answer: 'no answer within 10000 ms' }]]);
    expect(fetched.length).toBeGreaterThan(10);
    expect(vi.getTimerCount()).toBe(0);
  });
});
