import { createServer as createTcpServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_API_RESPONSE_BYTES, MAX_HTTP_ATTEMPTS } from '../../../sender/api/http.js';
import { ApiError } from '../../../sender/index.js';
import { type Answer, closedUrl, ipCommand, json, makeClient, rejection, startApi, vendorError } from '../support.js';

const created: Answer = (response) => json(response, 201, ipCommand());
const ping = { sim: 'gateway-1', payload: 'ping', devicePort: 6969 };
const SID = ipCommand().sid;

describe('an error of the API', () => {
  it.each([
    [400, 20001],
    [401, 20003],
    [403, 20003],
    [404, 20404],
    [405, 20004],
  ])('%i becomes an ApiError, for POST and GET, at once', async (status, code) => {
    const api = await startApi((response) => json(response, status, vendorError(status, code)));
    const { client, slept } = makeClient(api.url);
    for (const error of [await rejection(client.create(ping)), await rejection(client.fetch(SID))]) {
      expect(error).toBeInstanceOf(ApiError);
      expect(error).toMatchObject({
        name: 'ApiError',
        code: 'api-error',
        status,
        vendorCode: code,
        moreInfo: `https://www.twilio.com/docs/errors/${code}`,
        message: `HTTP ${status}, code ${code}: this is ${code} (https://www.twilio.com/docs/errors/${code})`,
      });
    }
    expect(api.seen).toHaveLength(2);
    expect(slept).toEqual([]);
  });

  it.each([
    ['an HTML page', '<html>Forbidden</html>'],
    ['nothing', ''],
    ['other JSON', '[1]'],
    ['members of other types', '{"code":"x","message":7,"more_info":null}'],
    ['more than is read', `{"message":"${'x'.repeat(70_000)}"}`],
  ])('is an ApiError also when its body is %s', async (_, body) => {
    const api = await startApi((response) => response.writeHead(403).end(body));
    expect(await rejection(makeClient(api.url).client.create(ping))).toMatchObject({
      code: 'api-error',
      status: 403,
      vendorCode: undefined,
      moreInfo: undefined,
      message: 'HTTP 403: no message',
    });
  });

  it('is an ApiError also when its body is incomplete', async () => {
    const api = await startApi((response) => {
      response.writeHead(404, { 'content-length': '1000' }).write('{');
      setImmediate(() => response.destroy());
    });
    expect(await rejection(makeClient(api.url).client.create(ping))).toMatchObject({ code: 'api-error', status: 404 });
  });
});

describe('HTTP 429', () => {
  const busy = (headers: Record<string, string>, times: number): Answer => {
    return (response, _seen, count) =>
      count <= times ? json(response, 429, vendorError(429, 20429), headers) : json(response, 201, ipCommand());
  };

  it('is retried with full jitter, also for a POST', async () => {
    const api = await startApi(busy({}, 3));
    const { client, slept } = makeClient(api.url);
    expect(await client.create(ping)).toEqual(ipCommand());
    expect(slept).toEqual([125, 250, 500]);
    expect(new Set(api.seen.map(({ body }) => body)).size).toBe(1);
    expect(api.seen).toHaveLength(4);
  });

  it('is retried after the seconds of Retry-After', async () => {
    const api = await startApi(busy({ 'retry-after': '7' }, 1));
    const { client, slept } = makeClient(api.url);
    await client.create(ping);
    expect(slept).toEqual([7125]);
  });

  it('is retried after the date of Retry-After', async () => {
    const api = await startApi(busy({ 'retry-after': 'Sun, 01 Mar 2026 12:00:09 GMT' }, 1));
    const { client, slept } = makeClient(api.url, { io: { now: () => Date.parse('2026-03-01T12:00:00Z') } });
    await client.fetch(SID);
    expect(slept).toEqual([9125]);
  });

  it('is retried a bounded number of times', async () => {
    const api = await startApi(busy({ 'retry-after': '86400' }, Number.POSITIVE_INFINITY));
    const { client, slept } = makeClient(api.url);
    expect(await rejection(client.create(ping))).toMatchObject({ code: 'api-error', status: 429, vendorCode: 20429 });
    expect(api.seen).toHaveLength(MAX_HTTP_ATTEMPTS);
    expect(slept).toEqual([60_125, 60_250, 60_500, 61_000]);
  });

  it('throws the signal’s reason when aborted during the wait', async () => {
    const api = await startApi(busy({}, 1));
    const abort = new AbortController();
    const sleep = async () => {
      abort.abort(new Error('enough'));
      abort.signal.throwIfAborted();
    };
    const { client } = makeClient(api.url, { signal: abort.signal, io: { sleep } });
    expect(await rejection(client.create(ping))).toMatchObject({ message: 'enough' });
    expect(api.seen).toHaveLength(1);
  });
});

/** Answers that leave it open whether the request was processed. */
const UNCERTAIN: ReadonlyArray<readonly [string, Answer]> = [
  ['HTTP 500', (response) => json(response, 500, vendorError(500, 20500))],
  ['HTTP 503', (response) => json(response, 503, vendorError(503, 20503), { 'retry-after': '1' })],
  ['a reset', (response) => response.socket?.resetAndDestroy()],
  ['a closed connection', (response) => response.socket?.end()],
  ['no answer in time', () => {}],
  [
    'half an answer',
    (response) => {
      response.writeHead(201, { 'content-length': '1000' }).write('{');
      setImmediate(() => response.destroy());
    },
  ],
  ['the head of an answer only', (response) => response.writeHead(201, { 'content-length': '1000' }).write('{')],
];

describe.each(UNCERTAIN)('after %s', (_, answer) => {
  it('a POST is not retried, and throws api-unknown-fate', async () => {
    const api = await startApi(answer);
    const { client, slept } = makeClient(api.url, { timeout: '500ms' });
    expect(await rejection(client.create(ping))).toMatchObject({ code: 'api-unknown-fate' });
    expect(api.seen).toHaveLength(1);
    expect(slept).toEqual([]);
  });

  it('a GET is retried until it succeeds', async () => {
    const api = await startApi((response, seen, count) =>
      count === 3 ? json(response, 200, ipCommand()) : answer(response, seen, count),
    );
    const { client, slept } = makeClient(api.url, { timeout: '500ms' });
    expect(await client.fetch(SID)).toEqual(ipCommand());
    expect(api.seen).toHaveLength(3);
    expect(slept).toHaveLength(2);
  });
});

describe('a GET that never succeeds', () => {
  it('throws the API’s error after 5xx', async () => {
    const api = await startApi((response) => json(response, 503, vendorError(503, 20503)));
    expect(await rejection(makeClient(api.url).client.fetch(SID))).toMatchObject({ code: 'api-error', status: 503 });
    expect(api.seen).toHaveLength(MAX_HTTP_ATTEMPTS);
  });

  it('throws api-unreachable after resets', async () => {
    const api = await startApi((response) => response.socket?.resetAndDestroy());
    expect(await rejection(makeClient(api.url).client.fetch(SID))).toMatchObject({ code: 'api-unreachable' });
    expect(api.seen).toHaveLength(MAX_HTTP_ATTEMPTS);
  });
});

describe('an API that cannot be reached', () => {
  const nobody: ReadonlyArray<readonly [string, () => Promise<string>]> = [
    ['nobody listens', closedUrl],
    ['fetch refuses the port', async () => 'http://127.0.0.1:6000'],
    [
      'it does not speak TLS',
      async () => {
        const server = createTcpServer((socket) => {
          socket.on('error', () => {});
          socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
        });
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        onTestFinished(() => void server.close());
        const address = server.address();
        return `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
      },
    ],
  ];

  it.each(nobody)('throws api-unreachable for a POST when %s, and does not retry', async (_, makeUrl) => {
    const { client, slept } = makeClient(await makeUrl());
    expect(await rejection(client.create(ping))).toMatchObject({ code: 'api-unreachable' });
    expect(slept).toEqual([]);
  });

  it('throws api-unreachable for a GET after some attempts', async () => {
    const { client, slept } = makeClient(await closedUrl());
    expect(await rejection(client.fetch(SID))).toMatchObject({
      code: 'api-unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    expect(slept).toHaveLength(MAX_HTTP_ATTEMPTS - 1);
  });
});

describe('an abort', () => {
  it('before a POST is sent throws the reason, and sends nothing', async () => {
    const api = await startApi(created);
    const { client } = makeClient(api.url, { signal: AbortSignal.abort(new Error('enough')) });
    expect(await rejection(client.create(ping))).toMatchObject({ message: 'enough' });
    expect(api.seen).toHaveLength(0);
  });

  it('during a POST throws api-unknown-fate', async () => {
    const abort = new AbortController();
    const api = await startApi(() => abort.abort(new Error('enough')));
    const { client } = makeClient(api.url, { signal: abort.signal });
    expect(await rejection(client.create(ping))).toMatchObject({ code: 'api-unknown-fate' });
  });

  it.each([1, MAX_HTTP_ATTEMPTS])('during attempt %i of a GET throws the reason', async (time) => {
    const abort = new AbortController();
    const api = await startApi((response, _seen, count) =>
      count === time ? abort.abort(new Error('enough')) : json(response, 503, {}),
    );
    const { client } = makeClient(api.url, { signal: abort.signal });
    expect(await rejection(client.fetch(SID))).toMatchObject({ message: 'enough' });
    expect(api.seen).toHaveLength(time);
  });
});

describe('an answer that is not the API’s', () => {
  const wrong: ReadonlyArray<readonly [string, Answer]> = [
    ['no JSON', (response) => response.writeHead(200).end('<html>')],
    ['an empty body', (response) => response.writeHead(200).end()],
    ['no body', (response) => response.writeHead(204).end()],
    ['a member missing', (response) => json(response, 200, { ...ipCommand(), sid: undefined })],
    ['another status of a command', (response) => json(response, 200, { ...ipCommand(), status: 'lost' })],
    [
      'more bytes than are read',
      (response) => {
        response.writeHead(200, { 'content-length': String(MAX_API_RESPONSE_BYTES + 1) });
        response.end(Buffer.alloc(MAX_API_RESPONSE_BYTES + 1, ' '));
      },
    ],
  ];

  it.each(wrong)('is refused after a GET: %s', async (_, answer) => {
    const api = await startApi(answer);
    expect(await rejection(makeClient(api.url).client.fetch(SID))).toMatchObject({ code: 'api-invalid-response' });
    expect(api.seen).toHaveLength(1);
  });

  it.each(wrong)('throws api-unknown-fate after a POST: %s', async (_, answer) => {
    const api = await startApi(answer);
    expect(await rejection(makeClient(api.url).client.create(ping))).toMatchObject({
      code: 'api-unknown-fate',
      cause: { code: 'api-invalid-response' },
    });
    expect(api.seen).toHaveLength(1);
  });

  it('is read up to its limit', async () => {
    const body = JSON.stringify(ipCommand());
    const api = await startApi((response) => response.writeHead(200).end(body.padEnd(MAX_API_RESPONSE_BYTES)));
    expect(await makeClient(api.url).client.fetch(SID)).toEqual(ipCommand());
  });

  it.each([301, 302, 303, 307, 308])('%i is not followed', async (status) => {
    const other = await startApi(created);
    const api = await startApi((response) => response.writeHead(status, { location: `${other.url}/v1/` }).end());
    const { client } = makeClient(api.url);
    expect(await rejection(client.create(ping))).toMatchObject({ code: 'api-invalid-response' });
    expect(await rejection(client.fetch(SID))).toMatchObject({ code: 'api-invalid-response' });
    expect(other.seen).toHaveLength(0);
    expect(api.seen).toHaveLength(2);
  });
});
