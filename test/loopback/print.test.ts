import { expect, test } from 'vitest';
import { formatBanner, formatEvent, type LoopbackEvent } from '../../loopback/index.js';
import { client, device, isStatus, isType, receiver, start } from './support.js';

const line = async (taken: Promise<LoopbackEvent>) => formatEvent(await taken);

test('the banner has everything that is needed to begin', async () => {
  const loopback = await start({ sims: [{ name: 'gateway-1' }, { name: 'b', fleet: 'north', attached: false }] });
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

test('a name that the shell would take apart is quoted', async () => {
  const loopback = await start({ sims: [{ name: "it's $HOME" }] });
  expect(formatBanner(loopback)).toContain("--data-urlencode 'Sim=it'\\''s $HOME'");
});

test('nothing that a stranger chose can control the terminal', async () => {
  const loopback = await start({ sims: [{ name: 'a\x1b[2J\nb', attached: false }] });
  expect(formatBanner(loopback)).toContain('a\\u001b[2J\\nb at ');
  const hook = await receiver();
  const callbackUrl = `${hook.url}/\u202e`;
  await client(loopback).ipCommands.create({ sim: 'a\x1b[2J\nb', payload: 'x', devicePort: 9, callbackUrl });
  expect(await line(loopback.events.take(isStatus('failed')))).toContain('→ a\\u001b[2J\\nb:9 failed');
  expect(await line(loopback.events.take(isType('webhook')))).toContain(`${hook.url}/\\u202e HTTP 200`);
});

test('many SIMs do not flood the banner', async () => {
  const loopback = await start({ sims: Array.from({ length: 30 }, (_, index) => ({ name: `sim-${index}` })) });
  expect(formatBanner(loopback)).toContain('and 10 more');
});

test('a line for each thing that happens', async () => {
  const loopback = await start({ sims: [{ name: 'a' }, { name: 'b', attached: false }] });
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
