import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, test, vi } from 'vitest';
import type { ApiConnection } from '../../../sender/api/http.js';
import { koreAuthorization } from '../../../sender/api/kore-token.js';
import { providerOf } from '../../../sender/api/provider.js';
import { type IpCommandClient, KORE_BASE_URL, KORE_TOKEN_URL } from '../../../sender/index.js';
import { startTestLoopback } from '../../support/round-trip.js';
import { collect, ipCommand, json, makeKoreClient, rejection, type Seen, startApi, vendorError } from '../support.js';

const ping = { sim: 'gateway-1', payload: 'ping', devicePort: 6969 };
const TOKEN_PATH = '/api-services/v1/auth/token';

interface Ways {
  /** Seconds. */
  readonly life?: number;
  /** What the API says to a token. */
  readonly accepts: (token: string) => boolean;
}

/** An API that issues token-1, token-2 … */
async function startKore({ life, accepts }: Ways) {
  let issued = 0;
  const api = await startApi((response, { url, headers, method }) => {
    if (url === TOKEN_PATH) {
      issued++;
      return json(response, 200, { access_token: `token-${issued}`, token_type: 'Bearer', expires_in: life });
    }
    const token = String(headers.authorization).replace('Bearer ', '');
    if (!accepts(token)) return json(response, 401, vendorError(401, 20003));
    return json(response, method === 'POST' ? 201 : 200, ipCommand());
  });
  const paths = () => api.seen.map(({ url }: Seen) => (url === TOKEN_PATH ? 'token' : 'api'));
  return { url: api.url, seen: api.seen, paths };
}

describe('a KORE token', () => {
  it('is fetched once for many requests, as in RFC 6749', async () => {
    const api = await startKore({ life: 3600, accepts: (token) => token === 'token-1' });
    const { client } = makeKoreClient(api.url);
    await Promise.all(Array.from({ length: 10 }, () => client.create(ping)));
    expect(api.paths().filter((path) => path === 'token')).toHaveLength(1);
    expect(api.seen[0]).toMatchObject({
      method: 'POST',
      url: TOKEN_PATH,
      body: 'grant_type=client_credentials&client_id=client&client_secret=secret',
    });
    expect(api.seen[0]?.headers.authorization).toBeUndefined();
  });

  it('is renewed once for all concurrent requests when the API refuses it', async () => {
    const api = await startKore({ accepts: (token) => token === 'token-2' });
    const { client } = makeKoreClient(api.url);
    const commands = await Promise.all(Array.from({ length: 10 }, () => client.create(ping)));
    expect(commands).toHaveLength(10);
    expect(api.paths().filter((path) => path === 'token')).toHaveLength(2);
    expect(api.paths().filter((path) => path === 'api')).toHaveLength(20);
  });

  it('causes the API’s error when a renewed one is refused too', async () => {
    const api = await startKore({ accepts: () => false });
    const { client, slept } = makeKoreClient(api.url);
    expect(await rejection(client.create(ping))).toMatchObject({ code: 'api-error', status: 401, vendorCode: 20003 });
    expect(api.paths()).toEqual(['token', 'api', 'token', 'api']);
    expect(slept).toEqual([]);
  });

  it('causes its own error when it cannot be fetched, and no command is sent', async () => {
    const error = { error: 'invalid_client', error_description: 'Invalid client credentials' };
    const api = await startApi((response) => json(response, 401, error));
    expect(await rejection(makeKoreClient(api.url).client.create(ping))).toMatchObject({
      code: 'api-error',
      message: 'HTTP 401: Invalid client credentials',
    });
    expect(api.seen.map(({ url }) => url)).toEqual([TOKEN_PATH]);
  });

  it('is fetched again after an error that may pass, and the command is sent once', async () => {
    const api = await startApi((response, { url }, count) => {
      if (count === 1) return response.socket?.resetAndDestroy();
      if (count === 2) return json(response, 503, {});
      return url === TOKEN_PATH ? json(response, 200, { access_token: 'a' }) : json(response, 201, ipCommand());
    });
    const { client, slept } = makeKoreClient(api.url);
    expect(await client.create(ping)).toEqual(ipCommand());
    expect(api.seen.map(({ url }) => url)).toEqual([TOKEN_PATH, TOKEN_PATH, TOKEN_PATH, '/v1/IpCommands']);
    expect(slept).toHaveLength(2);
  });

  it('is missing in an answer: api-invalid-response', async () => {
    const api = await startApi((response) => json(response, 200, { access_token: 'a\r\nb' }));
    expect(await rejection(makeKoreClient(api.url).client.create(ping))).toMatchObject({
      code: 'api-invalid-response',
    });
  });
});

test.each([
  ['an hour', 3600, 3_539_000, 3_541_000],
  ['ten seconds', 10, 8900, 9100],
])('a token of %s is renewed before it expires, by the monotonic clock', async (_, life, before, after) => {
  const api = await startKore({ life, accepts: () => true });
  let now = 1000;
  const connection: ApiConnection = {
    timeout: 5000,
    signal: undefined,
    io: { fetch: (url, init) => fetch(url, init), sleep: async () => {}, random: () => 0, now: () => 0 },
  };
  const client = { clientId: 'client', clientSecret: 'secret' };
  const { header } = koreAuthorization(connection, { url: new URL(api.url + TOKEN_PATH), ...client, now: () => now });
  expect(await header()).toBe('Bearer token-1');
  now = 1000 + before;
  expect(await header()).toBe('Bearer token-1');
  now = 1000 + after;
  expect(await header()).toBe('Bearer token-2');
});

test.each([
  ['a day behind', -86_400_000],
  ['a day ahead', 86_400_000],
])('a wall clock that is %s and set meanwhile does not change when a token is renewed', async (_, skew) => {
  const { url: baseUrl, clientId, clientSecret, counters } = await startTestLoopback({ tokenLife: '1s' });
  const { client } = makeKoreClient(baseUrl, { clientId, clientSecret });
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const right = Date.now();
  vi.setSystemTime(right + skew);
  await client.create(ping);
  vi.setSystemTime(right);
  await client.create(ping);
  vi.setSystemTime(right - skew);
  await client.create(ping);
  expect(counters).toMatchObject({ tokens: 1, toSim: 3 });
  await delay(1000);
  await client.create(ping);
  expect(counters).toMatchObject({ tokens: 2, toSim: 4 });
});

describe('KORE’s URLs', () => {
  const client = { clientId: 'client', clientSecret: 'secret' };

  it('are the documented ones by default', () => {
    expect(providerOf(client)).toMatchObject({ name: 'kore', baseUrl: KORE_BASE_URL, maxPageSize: 100 });
  });

  it.each([
    ['its own', {}, KORE_TOKEN_URL],
    ['that of another API', { baseUrl: 'http://127.0.0.1:8080/' }, `http://127.0.0.1:8080${TOKEN_PATH}`],
    ['the one given', { tokenUrl: 'http://127.0.0.1/token' }, 'http://127.0.0.1/token'],
  ])('of the token endpoint are %s', async (_, given, expected) => {
    const asked: string[] = [];
    const io = {
      fetch: async (url: URL) => {
        asked.push(url.href);
        return Response.json({ access_token: 'a' });
      },
      sleep: async () => {},
      random: () => 0,
      now: () => 0,
    };
    await providerOf({ ...client, ...given })
      .authorize({ timeout: 1000, signal: undefined, io })
      .header();
    expect(asked).toEqual([expected]);
  });
});

test('KORE’s pages have 100 resources at most', async () => {
  const { client } = makeKoreClient('http://127.0.0.1:1');
  expect(await rejection(collect(client.list({ pageSize: 101 })))).toMatchObject({ code: 'bad-input' });
});

describe('the loopback as KORE’s API', () => {
  async function start(): Promise<{ client: IpCommandClient; revoke: () => void }> {
    const { url, clientId, clientSecret, revokeTokens: revoke } = await startTestLoopback();
    return { client: makeKoreClient(url, { clientId, clientSecret }).client, revoke };
  }

  it('accepts commands, and lists them by the page', async () => {
    const { client } = await start();
    for (const number of [1, 2, 3]) await client.create({ ...ping, payload: `${number}` });
    const listed = await collect(client.list({ pageSize: 2 }));
    expect(listed.map(({ payload }) => payload)).toEqual(['3', '2', '1']);
    expect(await client.fetch(listed[0]?.sid ?? '')).toMatchObject({ payload: '3' });
  });

  it('expires tokens early, and the client renews them', async () => {
    const { client, revoke } = await start();
    await client.create(ping);
    revoke();
    expect(await client.create(ping)).toMatchObject({ status: 'queued' });
  });
});
