import { describe, expect, it, test } from 'vitest';
import { formatApiFaults, parseApiFaults, resolveApiFaults } from '../../../loopback/api/faults.js';
import type { Loopback, LoopbackOptions } from '../../../loopback/index.js';
import { formatBanner, formatEvent, formatFaultCounts } from '../../../loopback/print.js';
import { authorization, get, isType, post, start } from '../support.js';

const ping = { Sim: 'gateway-1', Payload: 'ping', DevicePort: '6969' };
const list = (loopback: Loopback) => get(loopback, '/v1/IpCommands?PageSize=1');

/** Makes requests one after the other, and returns their statuses; 0 where the connection broke. */
async function statusesOf(loopback: Loopback, count: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let request = 0; request < count; request++) {
    statuses.push(
      await post(loopback, '/v1/IpCommands', ping).then(
        ({ status }) => status,
        () => 0,
      ),
    );
  }
  return statuses;
}

const startWith = (apiFaults: LoopbackOptions['apiFaults'], more: LoopbackOptions = {}) =>
  start({ ...more, ...(apiFaults && { apiFaults }) });

describe('a request to the API with faults', () => {
  it('is refused by its number, with the vendor’s error, and not processed', async () => {
    const loopback = await startWith({ busy: [1], unavailable: [3] });
    expect(await post(loopback, '/v1/IpCommands', ping)).toMatchObject({
      status: 429,
      body: { code: 20429, status: 429 },
    });
    expect(await post(loopback, '/v1/IpCommands', ping)).toMatchObject({ status: 201 });
    expect(await post(loopback, '/v1/IpCommands', ping)).toMatchObject({ status: 503, body: { code: 20503 } });
    expect(await list(loopback)).toMatchObject({
      body: { ip_commands: [{ payload: 'ping' }], meta: { next_page_url: null } },
    });
    expect(loopback.counters).toMatchObject({ toSim: 1, apiBusy: 1, apiUnavailable: 1, apiAnswersLost: 0 });
    expect(formatFaultCounts(loopback.counters)).toBe('1 apiBusy, 1 apiUnavailable');
  });

  it('is processed and its response lost', async () => {
    const loopback = await startWith({ answerLoss: [1, 3] });
    expect(await statusesOf(loopback, 4)).toEqual([0, 201, 0, 201]);
    expect(loopback.counters).toMatchObject({ toSim: 4, apiAnswersLost: 2 });
  });

  it('is delayed', async () => {
    const loopback = await startWith({ delay: '60ms', jitter: '40ms' });
    const begun = performance.now();
    await list(loopback);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(59);
  });

  it('is refused beyond the concurrency limit, and the load is reported', async () => {
    const loopback = await startWith({ atOnce: 3, delay: '500ms' });
    const all = await Promise.all(
      Array.from({ length: 8 }, () => fetch(`${loopback.url}/v1/Sims`, { headers: authorization(loopback) })),
    );
    expect(all.map(({ status }) => status).sort()).toEqual([200, 200, 200, 429, 429, 429, 429, 429]);
    const loads = all.flatMap((response) => response.headers.get('twilio-concurrent-requests') ?? []);
    expect(
      loads
        .filter((load) => load !== '')
        .sort()
        .slice(-1),
    ).toEqual(['3']);
    expect((await list(loopback)).status).toBe(200);
  });

  it('has the same faults for the same seed, and none on the loopback’s own routes', async () => {
    const runs = [];
    for (const seed of [7, 7, 8]) {
      const loopback = await startWith({ busy: 0.3, unavailable: 0.2, answerLoss: 0.1 }, { seed });
      runs.push(await statusesOf(loopback, 40));
      for (let request = 0; request < 20; request++) expect((await get(loopback, '/loopback/faults')).status).toBe(200);
    }
    const [one, same, other] = runs;
    expect(new Set(one)).toEqual(new Set([0, 201, 429, 503]));
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });
});

describe('/loopback/api-faults', () => {
  async function call(loopback: Loopback, method: string, body?: unknown) {
    const response = await fetch(`${loopback.url}/loopback/api-faults`, {
      method,
      headers: authorization(loopback),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    return { status: response.status, body: answer };
  }

  test('sets, shows and removes the faults of a running loopback', async () => {
    const loopback = await start({ seed: 42 });
    expect(await call(loopback, 'PUT', { faults: { busy: 1 } })).toMatchObject({
      ...{ status: 200, body: { seed: 42, requests: 0, faults: { busy: 1, delay: '0ms' }, counters: { apiBusy: 0 } } },
    });
    const event = await loopback.events.take(isType('api-faults'));
    expect(formatEvent(event)).toBe('API faults busy=1 (seed 42)');
    expect((await list(loopback)).status).toBe(429);
    expect(formatEvent(await loopback.events.take(isType('api-fault')))).toBe(
      'fault API 1 GET /v1/IpCommands answered 429',
    );
    expect(formatBanner(loopback)).toContain('of the API: busy=1');
    expect((await call(loopback, 'GET')).body).toMatchObject({ requests: 1 });
    expect(await call(loopback, 'DELETE')).toMatchObject({ body: { seed: 42, faults: resolveApiFaults({}) } });
    expect((await list(loopback)).status).toBe(200);
    loopback.setApiFaults({ unavailable: 1 }, 7);
    expect(loopback.apiFaults()).toMatchObject({ seed: 7, requests: 0 });
    expect((await list(loopback)).status).toBe(503);
    expect(() => loopback.setApiFaults({ busy: 2 })).toThrow(expect.objectContaining({ code: 'bad-input' }));
    expect(loopback.apiFaults()).toMatchObject({ faults: { unavailable: 1 } });
  });

  test.each([[{}], [{ faults: { busi: 1 } }], [{ faults: { delay: 'soon' } }], [{ faults: { atOnce: -1 } }]])(
    '%j is refused, and nothing changes',
    async (body) => {
      const loopback = await startWith({ busy: [9] });
      expect(await call(loopback, 'PUT', body)).toMatchObject({ status: 400, body: { code: 'bad-input' } });
      expect(loopback.apiFaults()).toMatchObject({ faults: { busy: [9] } });
    },
  );

  test('requires the credentials', async () => {
    const loopback = await start();
    expect(await call({ ...loopback, authToken: 'wrong' }, 'PUT', { faults: {} })).toMatchObject({ status: 401 });
  });
});

describe('API faults in their written form', () => {
  test.each(['atOnce=20', 'busy=0.05,unavailable=#2+5', 'answerLoss=0.01,delay=50ms,jitter=1s', 'none'])(
    '%s are parsed',
    (text) => {
      expect(formatApiFaults(text === 'none' ? resolveApiFaults({}) : parseApiFaults(text))).toBe(text);
    },
  );

  test.each(['', 'busy', 'busy=', 'busy=2', 'busy=#0', 'busi=1', 'delay=5', 'busy=1,busy=1', 'atOnce=1.5'])(
    '“%s” are refused',
    (text) => {
      expect(() => parseApiFaults(text)).toThrow(expect.objectContaining({ code: 'bad-input' }));
    },
  );
});
