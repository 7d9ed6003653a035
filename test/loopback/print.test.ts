import { expect, test } from 'vitest';
import { formatBanner, formatEvent, formatFaultCounts, type LoopbackEvent } from '../../loopback/index.js';
import { formatMessage, parseMessage } from '../../shared/coap/message.js';
import { protectResponse } from '../../shared/oscore/response.js';
import { requestBytes } from '../support/coap.js';
import { DEVICE, openRequest } from '../support/oscore.js';
import { startOperator } from '../support/security.js';
import { client, device, isStatus, isType, receiver, start } from './support.js';

/** What a device answers to a protected request, with the sequence number 5. */
function protectedReply(request: Buffer): Buffer {
  const message = parseMessage(request);
  const opened = openRequest(DEVICE, message);
  if (!opened.ok) throw new Error(opened.reason);
  const parts = protectResponse(DEVICE, opened.binding, 5, { code: '2.05', options: [], payload: Buffer.from('pong') });
  return formatMessage({ ...message, ...parts, type: 'ACK' });
}

const quoted = (text: string) => text.replaceAll(/[()]/g, '\\$&');

const line = async (taken: Promise<LoopbackEvent>) => formatEvent(await taken);

test('the banner shows the API, the credentials, the gateway and the SIMs', async () => {
  const loopback = await start({ sims: [{ name: 'gateway-1' }, { name: 'b', fleet: 'north', state: 'detached' }] });
  const banner = formatBanner(loopback);
  for (const part of [loopback.url, loopback.accountSid, loopback.authToken, `127.0.0.1:${loopback.gateway.port}`]) {
    expect(banner).toContain(part);
  }
  expect(banner).toContain('gateway-1 at 127.0.0.2, fleet-1 (');
  expect(banner).toContain('b at 127.0.0.3, north, detached (');
  expect(banner).toContain(
    `curl ${loopback.url}/v1/IpCommands -u ${loopback.accountSid}:${loopback.authToken} --data-urlencode Sim=gateway-1`,
  );
});

test('the curl line quotes a SIM name that a shell would split', async () => {
  const loopback = await start({ sims: [{ name: "it's $HOME" }] });
  expect(formatBanner(loopback)).toContain("--data-urlencode 'Sim=it'\\''s $HOME'");
});

test('printed lines contain no control characters of names and payloads', async () => {
  const loopback = await start({ sims: [{ name: 'a\x1b[2J\nb', state: 'detached' }] });
  expect(formatBanner(loopback)).toContain('a\\u001b[2J\\nb at ');
  const hook = await receiver();
  const callbackUrl = `${hook.url}/\u202e`;
  await client(loopback).ipCommands.create({ sim: 'a\x1b[2J\nb', payload: 'x', devicePort: 9, callbackUrl });
  expect(await line(loopback.events.take(isStatus('failed')))).toContain('→ a\\u001b[2J\\nb:9 failed');
  expect(await line(loopback.events.take(isType('webhook')))).toContain(`${hook.url}/\\u202e HTTP 200`);
});

test('each fault, change of faults and change of a SIM’s state is printed as a line', async () => {
  const loopback = await start({ seed: 1 });
  loopback.setFaults({ up: { truncate: [1], reorder: [2], reorderDelay: '1ms', corrupt: [3] } });
  expect(await line(loopback.events.take(isType('faults')))).toBe(
    'faults up.reorder=#2,up.corrupt=#3,up.truncate=#1,up.reorderDelay=1ms (seed 1)',
  );
  const { send } = await device();
  for (const pattern of [
    /^fault up 1 ← gateway-1 4 bytes truncated to [0-3]$/,
    /^fault up 2 ← gateway-1 4 bytes reordered 1 ms$/,
    /^fault up 3 ← gateway-1 4 bytes corrupted$/,
  ]) {
    await send('ping', loopback.gateway);
    expect(await line(loopback.events.take(isType('fault')))).toMatch(pattern);
  }
  expect(formatFaultCounts(loopback.counters)).toBe('1 reordered, 1 corrupted, 1 truncated');
  loopback.setSimState('inactive');
  expect(await line(loopback.events.take(isType('sim')))).toBe('SIM gateway-1 is inactive');
  await send('ping', loopback.gateway);
  expect(await line(loopback.events.take(isType('dropped')))).toMatch(/ 4 bytes dropped: the SIM is inactive$/);
  expect(formatBanner(loopback)).toContain('gateway-1 at 127.0.0.2, fleet-1, inactive (');
});

test('the banner shows only the first SIMs of many', async () => {
  const loopback = await start({ sims: Array.from({ length: 30 }, (_, index) => ({ name: `sim-${index}` })) });
  expect(formatBanner(loopback)).toContain('and 10 more');
});

test('each event of a command, webhook and datagram is printed as a line', async () => {
  const loopback = await start({ sims: [{ name: 'a' }, { name: 'b', state: 'detached' }] });
  const { ipCommands } = client(loopback);
  const hook = await receiver(404);
  const { port, next, send } = await device();
  const { sid } = await ipCommands.create({ sim: 'a', payload: 'ping', devicePort: port, callbackUrl: hook.url });
  expect(await line(loopback.events.take(isStatus('queued')))).toBe(`command ${sid} → a:${port} queued 4 bytes "ping"`);
  expect(await line(loopback.events.take(isStatus('sent')))).toBe(`command ${sid} → a:${port} sent 4 bytes "ping"`);
  expect(await line(loopback.events.take(isType('webhook')))).toBe(
    `webhook ${sid} POST ${hook.url} failed, 83402: HTTP 404`,
  );
  await ipCommands.create({ sim: 'b', payload: 'x'.repeat(60), devicePort: port });
  expect(await line(loopback.events.take(isStatus('failed')))).toMatch(
    new RegExp(`→ b:${port} failed \\(83401\\) 60 bytes "x{48}"…$`),
  );
  await send(Buffer.from('\x1b[2J'), loopback.gateway);
  expect(await line(loopback.events.take(isStatus('received')))).toMatch(/ ← a:\d+ received 4 bytes 1b5b324a$/);
  await send(Buffer.from([0x61, 0xff]), loopback.gateway);
  expect(await line(loopback.events.take(isStatus('received')))).toMatch(/ 2 bytes 61ff$/);
  await send('é'.repeat(50), loopback.gateway);
  expect(await line(loopback.events.take(isStatus('received')))).toMatch(/ 100 bytes "é{48}"…$/);
  await send(Buffer.alloc(1400, 0x61), loopback.gateway);
  expect(await line(loopback.events.take(isStatus('received')))).toMatch(
    / 1300 bytes "a{48}"…; 100 bytes over the limit were cut$/,
  );
  await send('x', (await next()).from);
  expect(await line(loopback.events.take(isType('dropped')))).toMatch(
    /^datagram 127.0.0.2:\d+ 1 bytes dropped: .*replyToSource$/,
  );
});

test('of a protected datagram it is printed that it is, and not its bytes; of other CoAP messages the code', async () => {
  const loopback = await start({ faults: { up: { corrupt: [2] } } });
  const { port, next, send } = await device();
  const operator = startOperator();
  const { bytes, number } = operator.protect({ path: 'health' });
  const shown = `${bytes.length} bytes protected (kid 01, number ${number})`;
  const params = {
    sim: 'gateway-1',
    payload: bytes.toString('base64'),
    payloadType: 'binary',
    devicePort: port,
  } as const;
  await client(loopback).ipCommands.create(params);
  for (const status of ['queued', 'sent']) {
    expect(await line(loopback.events.take(isStatus(status)))).toMatch(
      new RegExp(`:${port} ${status} ${quoted(shown)}$`),
    );
  }
  await send(protectedReply(bytes), loopback.gateway);
  expect(await line(loopback.events.take(isStatus('received')))).toMatch(/ received \d+ bytes protected \(number 5\)$/);
  expect(loopback.counters).toMatchObject({ toSim: 1, toSimProtected: 1, fromSim: 1, fromSimProtected: 1 });
  await send(bytes, loopback.gateway);
  expect(await line(loopback.events.take(isType('fault')))).toBe(`fault up 2 ← gateway-1 ${shown} corrupted`);
  await send(bytes, (await next()).from);
  expect(await line(loopback.events.take(isType('dropped')))).toContain(` ${shown} dropped: `);
  await loopback.events.take(isStatus('received'));
  await send(requestBytes({ type: 'NON', payload: 'hi' }), loopback.gateway);
  expect(await line(loopback.events.take(isStatus('received')))).toMatch(/ 7 bytes CoAP 0.02 50020001ff6869$/);
});
