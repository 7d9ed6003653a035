import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startLoopback } from '../../loopback/index.js';
import { probeApi } from '../../loopback/probe.js';
import { authorization, start } from './support.js';

async function bindUdp(port: number) {
  const socket = createSocket('udp4');
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  return { port: socket.address().port, close: () => new Promise<void>((resolve) => socket.close(resolve)) };
}

async function bindTcp(port: number) {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

test('credentials are random in the vendor’s form, or those of the options', async () => {
  const [a, b] = [await start(), await start()];
  expect(a.accountSid).toMatch(/^AC[0-9a-f]{32}$/);
  expect(a.authToken).toMatch(/^[0-9a-f]{32}$/);
  expect(a.accountSid).not.toBe(b.accountSid);
  expect(a.authToken).not.toBe(b.authToken);
  const given = { accountSid: `AC${'1'.repeat(32)}`, authToken: 'secret' };
  expect(await start(given)).toMatchObject(given);
  await expect(start({ accountSid: 'me' })).rejects.toMatchObject({ code: 'bad-input' });
});

test('the error about an API port in use names it, and the gateway is closed again', async () => {
  const taken = await bindTcp(0);
  onTestFinished(taken.close);
  const free = await bindUdp(0);
  await free.close();
  await expect(startLoopback({ httpPort: taken.port, gatewayPort: free.port })).rejects.toMatchObject({
    code: 'port-in-use',
    message: expect.stringContaining(`127.0.0.1:${taken.port}`),
  });
  const again = await bindUdp(free.port);
  await again.close();
});

test('the error about a gateway port in use names it, and the API is not opened', async () => {
  const taken = await bindUdp(0);
  onTestFinished(taken.close);
  const free = await bindTcp(0);
  await free.close();
  await expect(startLoopback({ httpPort: free.port, gatewayPort: taken.port })).rejects.toMatchObject({
    code: 'port-in-use',
    message: expect.stringContaining(`127.0.0.1:${taken.port}`),
  });
  const again = await bindTcp(free.port);
  await again.close();
});

test.each([{ gatewayAddress: '192.0.2.1' }, { httpAddress: '192.0.2.1' }, { httpPort: 70_000 }, { gatewayPort: -1 }])(
  'an address or port that cannot be had, %j, is bad input',
  async (options) => {
    await expect(start(options)).rejects.toMatchObject({ code: 'bad-input' });
  },
);

test('a loopback that listens on all addresses has a URL that responds', async () => {
  const loopback = await start({ httpAddress: '0.0.0.0' });
  expect(loopback.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  await probeApi(loopback);
});

test('the probe fails on an error response', async () => {
  const loopback = await start();
  await expect(probeApi({ ...loopback, authToken: 'wrong' })).rejects.toMatchObject({ code: 'probe-failed' });
});

test('stopping closes everything at once, and may be repeated', async () => {
  const loopback = await start();
  await probeApi(loopback);
  await Promise.all([loopback.stop(), loopback.stop()]);
  await expect(probeApi(loopback)).rejects.toMatchObject({ code: 'probe-failed' });
  const gateway = await bindUdp(loopback.gateway.port);
  await gateway.close();
});

test('stopping does not wait for a client that never ends its request', async () => {
  const loopback = await start();
  const client = connect(Number(new URL(loopback.url).port), '127.0.0.1');
  onTestFinished(() => void client.destroy());
  client.on('error', () => undefined);
  const head = [
    'POST /v1/IpCommands HTTP/1.1',
    'Host: loopback',
    `Authorization: ${authorization(loopback).authorization}`,
    'Expect: 100-continue',
    'Content-Length: 5',
  ];
  client.write(`${head.join('\r\n')}\r\n\r\n`);
  const [answer] = await once(client, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1.1 100 /);
  const closed = once(client, 'close');
  await loopback.stop();
  await closed;
});

test('a listener gets events until it is removed', async () => {
  const loopback = await start();
  const heard: string[] = [];
  const off = loopback.onEvent((event) => heard.push(event.type));
  const stranger = createSocket('udp4');
  onTestFinished(() => void stranger.close());
  stranger.bind(0, '127.0.0.77');
  stranger.send('x', loopback.gateway.port, loopback.gateway.address);
  await loopback.events.take();
  off();
  stranger.send('x', loopback.gateway.port, loopback.gateway.address);
  await loopback.events.take();
  expect(heard).toEqual(['dropped']);
});

test('an invalid list of SIMs prevents the start', async () => {
  await expect(start({ sims: [{ name: 'a' }, { name: 'a' }] })).rejects.toMatchObject({ code: 'bad-input' });
  await expect(start({ sims: [] })).rejects.toMatchObject({ code: 'bad-input' });
});
