import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import twilio from 'twilio';
import { expect, onTestFinished, test } from 'vitest';
import type { WebhookResult } from '../../../loopback/index.js';
import { MAX_WEBHOOK_RESPONSE_BYTES } from '../../../loopback/webhooks/attempt.js';
import { twilioHeaders } from '../../../loopback/webhooks/headers.js';
import { parseOverrides } from '../../../loopback/webhooks/overrides.js';
import { createWebhooks, MAX_WEBHOOKS_IN_FLIGHT, MAX_WEBHOOKS_WAITING } from '../../../loopback/webhooks/webhooks.js';
import { client, device, inbox, isType, type ReceivedRequest, receiver, start } from '../support.js';

/** Checks a received webhook with the vendor's own function. */
function isGenuine(authToken: string, origin: string, { url, headers, body }: ReceivedRequest): boolean {
  const signature = String(headers['x-twilio-signature']);
  return twilio.validateRequest(authToken, signature, `${origin}${url}`, Object.fromEntries(new URLSearchParams(body)));
}

test('a from_sim command calls the Fleet’s URL by POST, signed', async () => {
  const loopback = await start({ webhooks: 'twilio', sims: [{ name: 'pump & valve' }] });
  const hook = await receiver();
  await client(loopback)
    .fleets('fleet-1')
    .update({ ipCommandsUrl: `${hook.url}/hook?tenant=a%20b` });
  const { port, send } = await device();
  await send(Buffer.from([0xff, 0xfe, 0xfb]), loopback.gateway);
  const request = await hook.requests.take();
  expect(request).toMatchObject({
    method: 'POST',
    url: '/hook?tenant=a%20b',
    // A new connection: on a kept one there is no time to connect.
    headers: { connection: 'close', 'content-type': expect.stringMatching(/^application\/x-www-form-urlencoded/) },
  });
  const [command] = await client(loopback).ipCommands.list();
  expect(Object.fromEntries(new URLSearchParams(request.body))).toEqual({
    AccountSid: loopback.accountSid,
    ApiVersion: 'v1',
    Sid: command?.sid,
    SimSid: loopback.sims[0]?.sid,
    SimUniqueName: 'pump & valve',
    SimIccid: loopback.sims[0]?.iccid,
    Status: 'received',
    Direction: 'from_sim',
    DeviceIp: '127.0.0.2',
    DevicePort: `${port}`,
    PayloadType: 'binary',
    Payload: '//77',
  });
  expect(isGenuine(loopback.authToken, hook.url, request)).toBe(true);
  expect(isGenuine('another token', hook.url, request)).toBe(false);
  expect(await loopback.events.take(isType('webhook'))).toMatchObject({
    result: { ok: true, status: 200, attempts: 1 },
  });
});

test.each(['', '?tenant=a%20b', '?'])(
  'by GET the parameters are in the query, after the URL’s own %j',
  async (query) => {
    const loopback = await start({ webhooks: 'twilio' });
    const hook = await receiver();
    const ipCommandsUrl = `${hook.url}/hook${query}`;
    await client(loopback).fleets('fleet-1').update({ ipCommandsUrl, ipCommandsMethod: 'GET' });
    const { send } = await device();
    await send(Buffer.from([0xff, 0xfe, 0xfb, 0xff]), loopback.gateway);
    const request = await hook.requests.take();
    expect(request).toMatchObject({ method: 'GET', body: '' });
    expect(request.headers['content-type']).toBeUndefined();
    const params = new URL(request.url, hook.url).searchParams;
    expect(params.get('tenant')).toBe(query.includes('tenant') ? 'a b' : null);
    expect(params.get('Payload')).toBe('//77/w==');
    expect(params.get('SimUniqueName')).toBe('gateway-1');
    expect(isGenuine(loopback.authToken, hook.url, request)).toBe(true);
    expect(isGenuine('another token', hook.url, request)).toBe(false);
  },
);

test('a sent command calls its CallbackUrl by the requested method', async () => {
  const loopback = await start({ webhooks: 'twilio' });
  const hook = await receiver();
  const { ipCommands } = client(loopback);
  for (const callbackMethod of ['POST', 'GET']) {
    const callbackUrl = `${hook.url}/status`;
    const { sid } = await ipCommands.create({
      sim: 'gateway-1',
      payload: 'x',
      devicePort: 9,
      callbackUrl,
      callbackMethod,
    });
    const request = await hook.requests.take();
    const params =
      callbackMethod === 'POST' ? new URLSearchParams(request.body) : new URL(request.url, hook.url).searchParams;
    expect(request.method).toBe(callbackMethod);
    expect(Object.fromEntries(params)).toMatchObject({
      Sid: sid,
      Status: 'sent',
      Direction: 'to_sim',
      DeviceIp: '127.0.0.2',
      DevicePort: '9',
      PayloadType: 'text',
    });
    expect(params.has('ErrorCode')).toBe(false);
    expect(isGenuine(loopback.authToken, hook.url, request)).toBe(true);
    expect(hook.requests.items).toEqual([]);
  }
});

test('a command to a detached SIM calls back with failed and 83401', async () => {
  const loopback = await start({ sims: [{ name: 'a', state: 'detached' }] });
  const hook = await receiver();
  const { ipCommands } = client(loopback);
  await ipCommands.create({ sim: 'a', payload: 'x', devicePort: 9, callbackUrl: hook.url });
  const params = new URLSearchParams((await hook.requests.take()).body);
  expect(params.get('Status')).toBe('failed');
  expect(params.get('ErrorCode')).toBe('83401');
  expect(params.has('ErrorMessage')).toBe(true);
  expect(params.has('DeviceIp')).toBe(false);
});

test('the fragment of a webhook’s URL is neither sent nor signed', async () => {
  const loopback = await start({ webhooks: 'twilio' });
  const hook = await receiver();
  const callbackUrl = `${hook.url}/status?a=1#rc=2`;
  await client(loopback).ipCommands.create({ sim: 'gateway-1', payload: 'x', devicePort: 9, callbackUrl });
  const request = await hook.requests.take();
  expect(request.url).toBe('/status?a=1');
  expect(isGenuine(loopback.authToken, hook.url, request)).toBe(true);
});

/** Sends one webhook and returns its result. */
async function send(url: string): Promise<WebhookResult> {
  const results = inbox<WebhookResult>('webhook results');
  const webhooks = createWebhooks(twilioHeaders('token'), results.push);
  onTestFinished(() => webhooks.close());
  webhooks.send({ commandSid: 'HG1', url, method: 'POST', params: { a: 'b' } });
  return results.take();
}

test.each([408, 423, 500, 503])('a webhook is retried once after HTTP %i', async (status) => {
  const hook = await receiver(status, 200);
  expect(await send(hook.url)).toMatchObject({ ok: true, attempts: 2 });
  expect(hook.count()).toBe(2);
});

test.each([302, 400, 404, 429])('a webhook is neither retried nor redirected after HTTP %i', async (status) => {
  const hook = await receiver(status, 200);
  expect(await send(hook.url)).toMatchObject({ ok: false, attempts: 1, errorCode: 83402, reason: `HTTP ${status}` });
  expect(hook.requests.items.map(({ url }) => url)).toEqual(['/']);
});

test('the override rc sets the number of retries', async () => {
  const hook = await receiver(500);
  expect(await send(`${hook.url}#rc=0`)).toMatchObject({ ok: false, attempts: 1, errorCode: 83402 });
  expect(await send(`${hook.url}#rc=5`)).toMatchObject({ ok: false, attempts: 6, errorCode: 83402 });
  expect(await send(hook.url)).toMatchObject({ ok: false, attempts: 2, errorCode: 83402 });
});

test('a webhook without a response ends after the read time-out, and is retried', async () => {
  const hook = await receiver('silent');
  expect(await send(`${hook.url}#rt=100`)).toMatchObject({ ok: false, attempts: 2, errorCode: 11205 });
  const recovering = await receiver('silent', 200);
  expect(await send(`${recovering.url}#rt=100`)).toMatchObject({ ok: true, attempts: 2 });
});

test('all attempts of a webhook end after the total time-out', async () => {
  const hook = await receiver('silent');
  const result = await send(`${hook.url}#rt=200&tt=100&rc=5`);
  expect(result).toMatchObject({ ok: false, attempts: 1, errorCode: 11205 });
});

/** Starts a server for plain TCP connections. */
async function tcpServer(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).resume();
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}

test('a TLS handshake that never ends is a connection time-out', async () => {
  const port = await tcpServer(() => undefined);
  expect(await send(`https://127.0.0.1:${port}/#ct=100&rc=0`)).toMatchObject({
    ok: false,
    attempts: 1,
    errorCode: 11205,
    reason: expect.stringContaining('no connection'),
  });
});

test('a webhook whose connection breaks is retried, then fails with 11205', async () => {
  const port = await tcpServer((socket) => socket.resetAndDestroy());
  expect(await send(`http://127.0.0.1:${port}/`)).toMatchObject({ ok: false, attempts: 2, errorCode: 11205 });
});

test('a webhook with a URL that Node cannot parse fails without a crash', async () => {
  expect(await send('http://%zz@127.0.0.1/#rc=0')).toEqual({
    webhook: expect.objectContaining({ url: 'http://%zz@127.0.0.1/#rc=0' }),
    attempts: 1,
    ok: false,
    errorCode: 11200,
    reason: expect.any(String),
  });
});

test('a response that is not HTTP fails with 11206', async () => {
  const port = await tcpServer((socket) => socket.end('220 mail.example.com ESMTP\r\n'));
  expect(await send(`http://127.0.0.1:${port}/#rc=0`)).toMatchObject({ ok: false, errorCode: 11206 });
});

test('an endless response is cut off, and its status counts', async () => {
  const closed = inbox<true>('closed connections');
  const port = await tcpServer((socket) => {
    socket.on('close', () => closed.push(true));
    socket.write(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(MAX_WEBHOOK_RESPONSE_BYTES + 1)}`);
  });
  expect(await send(`http://127.0.0.1:${port}/`)).toMatchObject({ ok: true, attempts: 1 });
  await closed.take();
});

test('the read time-out starts again with each byte', async () => {
  const port = await tcpServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
    setTimeout(() => socket.write('o'), 600);
    setTimeout(() => socket.write('k'), 1200);
  });
  expect(await send(`http://127.0.0.1:${port}/#rt=1000&rc=0`)).toMatchObject({ ok: true });
});

test('webhooks in flight and waiting are bounded', async () => {
  const hook = await receiver('silent');
  const results = inbox<WebhookResult>('webhook results');
  const webhooks = createWebhooks(twilioHeaders('token'), results.push);
  onTestFinished(() => webhooks.close());
  const room = MAX_WEBHOOKS_IN_FLIGHT + MAX_WEBHOOKS_WAITING;
  for (let index = 0; index < room + 1; index += 1) {
    webhooks.send({ commandSid: `${index}`, url: hook.url, method: 'POST', params: {} });
  }
  expect(results.items).toMatchObject([{ webhook: { commandSid: `${room}` }, ok: false, attempts: 0 }]);
  results.items.length = 0;
  let answered = 0;
  while (answered < room) {
    const batch = Math.min(MAX_WEBHOOKS_IN_FLIGHT, room - answered);
    for (let index = 0; index < batch; index += 1) await hook.requests.take();
    expect(hook.count()).toBe(answered + batch);
    hook.release();
    for (let index = 0; index < batch; index += 1) expect(await results.take()).toMatchObject({ ok: true });
    answered += batch;
  }
});

test('stopping aborts webhooks in flight and discards those that wait', async () => {
  const hook = await receiver('silent');
  const results = inbox<WebhookResult>('webhook results');
  const webhooks = createWebhooks(twilioHeaders('token'), results.push);
  for (let index = 0; index < MAX_WEBHOOKS_IN_FLIGHT + 5; index += 1) {
    webhooks.send({ commandSid: `${index}`, url: hook.url, method: 'POST', params: {} });
  }
  await hook.requests.take();
  await webhooks.close();
  webhooks.send({ commandSid: 'late', url: hook.url, method: 'POST', params: {} });
  expect(results.items).toEqual([]);
  expect(hook.count()).toBeLessThanOrEqual(MAX_WEBHOOKS_IN_FLIGHT);
});

test('overrides apply only within their range', () => {
  const defaults = { connectMs: 5000, readMs: 15_000, totalMs: 15_000, retries: 1 };
  expect(parseOverrides('http://a/')).toEqual(defaults);
  expect(parseOverrides('http://a/?ct=200')).toEqual(defaults);
  expect(parseOverrides('http://a/#ct=200&rt=300&tt=400&rc=0')).toEqual({
    connectMs: 200,
    readMs: 300,
    totalMs: 400,
    retries: 0,
  });
  expect(parseOverrides('http://a/#ct=99&rt=15001&tt=1e3&rc=6')).toEqual(defaults);
  expect(parseOverrides('http://a/#rc=-1&x=1')).toEqual(defaults);
});

test('webhooks of KORE are signed with the secret, and keep their idempotency token in a retry', async () => {
  const loopback = await start();
  const hook = await receiver(503, 200);
  const { ipCommands } = client(loopback);
  const callbackUrl = `${hook.url}/status?tenant=a`;
  await ipCommands.create({ sim: 'gateway-1', payload: 'x', devicePort: 9, callbackUrl });
  const first = await hook.requests.take();
  expect(first.headers).toMatchObject({
    'kore-idempotency-token': expect.stringMatching(/^[\da-f-]{36}$/),
    date: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    'user-agent': 'KoreProxy/1.1',
    'kore-signature': createHash('sha256')
      .update(`${loopback.webhookSecret}POST${hook.url}/status${first.body}`)
      .digest('hex'),
  });
  expect(first.headers['x-twilio-signature']).toBeUndefined();
  const second = await hook.requests.take();
  expect(second.headers).toEqual(first.headers);
  await ipCommands.create({ sim: 'gateway-1', payload: 'x', devicePort: 9, callbackUrl });
  const other = await hook.requests.take();
  expect(other.headers['kore-idempotency-token']).not.toBe(first.headers['kore-idempotency-token']);
});
