import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSimRegistry } from '../../loopback/account/registry.js';
import { resolveSims } from '../../loopback/account/sims.js';
import { createStore } from '../../loopback/account/store.js';
import { createCommands } from '../../loopback/command-delivery.js';
import type { LoopbackEvent } from '../../loopback/index.js';
import { resolveAssumptions } from '../../loopback/vendor-assumptions.js';
import { client, device, get, inbox, isStatus, isType, start } from './support.js';

const fromSim = (event: LoopbackEvent) => {
  if (event.type !== 'command') throw new Error(`no command: ${JSON.stringify(event)}`);
  return event.command;
};

test('a datagram to the gateway becomes a from_sim command that is received, binary, and has the source port', async () => {
  const loopback = await start();
  const { port, send } = await device();
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  await send(bytes, loopback.gateway);
  const { sid } = fromSim(await loopback.events.take(isStatus('received')));
  expect(await client(loopback).ipCommands(sid).fetch()).toMatchObject({
    status: 'received',
    direction: 'from_sim',
    payloadType: 'binary',
    payload: bytes.toString('base64'),
    deviceIp: '127.0.0.2',
    devicePort: port,
    simSid: loopback.sims[0]?.sid,
  });
});

test('datagrams of 0 to 1300 bytes pass unchanged', async () => {
  const loopback = await start();
  const { send } = await device();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 1300 }), async (any) => {
      await send(Buffer.from(any), loopback.gateway);
      const { payload } = fromSim(await loopback.events.take(isStatus('received')));
      expect(payload).toBe(Buffer.from(any).toString('base64'));
    }),
    { numRuns: 50 },
  );
});

test('datagrams over 1300 bytes are cut to 1300, and the cut is reported', async () => {
  const loopback = await start();
  const { send } = await device();
  for (const [size, cutBytes] of [
    [1300, undefined],
    [1301, 1],
    [65_507, 64_207],
  ] as const) {
    await send(Buffer.alloc(size, 7), loopback.gateway);
    const event = await loopback.events.take(isStatus('received'));
    expect(event).toMatchObject(cutBytes === undefined ? {} : { cutBytes });
    expect(fromSim(event).payload).toBe(Buffer.alloc(1300, 7).toString('base64'));
  }
  expect(loopback.counters.cut).toBe(2);
});

test('a datagram from an address of no SIM is counted and dropped', async () => {
  const loopback = await start();
  const stranger = await device('127.0.0.99');
  await stranger.send('hello', loopback.gateway);
  expect(await loopback.events.take(isType('dropped'))).toEqual({
    type: 'dropped',
    cause: 'unknown-source',
    address: '127.0.0.99',
    port: stranger.port,
    bytes: 5,
  });
  expect(loopback.counters).toMatchObject({ droppedUnknownSource: 1, fromSim: 0 });
  expect((await get(loopback, '/v1/IpCommands')).body).toMatchObject({ ip_commands: [] });
});

test('commands of two SIMs are kept apart', async () => {
  const loopback = await start({ sims: [{ name: 'a' }, { name: 'b' }] });
  const [a, b] = [await device('127.0.0.2'), await device('127.0.0.3')];
  const { ipCommands } = client(loopback);
  await ipCommands.create({ sim: 'a', payload: 'for a', devicePort: a.port });
  await ipCommands.create({ sim: 'b', payload: 'for b', devicePort: b.port });
  expect((await a.next()).bytes.toString()).toBe('for a');
  expect((await b.next()).bytes.toString()).toBe('for b');
  await a.send('from a', loopback.gateway);
  await b.send('from b', loopback.gateway);
  for (const [index, name] of ['a', 'b'].entries()) {
    await loopback.events.take(isStatus('received'));
    const [command, ...others] = await ipCommands.list({ sim: name, direction: 'from_sim' });
    expect(Buffer.from(command?.payload ?? '', 'base64').toString()).toBe(`from ${name}`);
    expect(command).toMatchObject({ simSid: loopback.sims[index]?.sid, deviceIp: `127.0.0.${index + 2}` });
    expect(others).toEqual([]);
  }
});

test('commands are sent from another port than the gateway’s, and datagrams to it are dropped', async () => {
  const loopback = await start();
  const { port, next, send } = await device();
  await client(loopback).ipCommands.create({ sim: 'gateway-1', payload: 'x', devicePort: port });
  const { from } = await next();
  expect(from.address).toBe(loopback.gateway.address);
  expect(from.port).not.toBe(loopback.gateway.port);
  await send('to the source', from);
  expect(await loopback.events.take(isType('dropped'))).toMatchObject({
    cause: 'to-source-port',
    address: '127.0.0.2',
  });
  expect(loopback.counters).toMatchObject({ droppedToSourcePort: 1, fromSim: 0 });
});

test('with sourcePort=gateway commands are sent from the gateway’s own port', async () => {
  const loopback = await start({ sourcePort: 'gateway' });
  const { port, next, send } = await device();
  await client(loopback).ipCommands.create({ sim: 'gateway-1', payload: 'x', devicePort: port });
  const { from } = await next();
  expect(from).toEqual(loopback.gateway);
  await send('reply', from);
  expect(fromSim(await loopback.events.take(isStatus('received'))).payload).toBe(btoa('reply'));
});

test('a detached SIM receives and sends nothing until it is attached', async () => {
  const loopback = await start({ sims: [{ name: 'a', state: 'detached' }] });
  const { port, next, send } = await device();
  const { ipCommands } = client(loopback);
  const lost = await ipCommands.create({ sim: 'a', payload: 'lost', devicePort: port });
  expect(await loopback.events.take(isStatus('failed'))).toMatchObject({ errorCode: 83401 });
  expect(await ipCommands(lost.sid).fetch()).toMatchObject({ status: 'failed', deviceIp: null });
  await send('lost too', loopback.gateway);
  expect(await loopback.events.take(isType('dropped'))).toMatchObject({ cause: 'detached' });

  loopback.setSimState('active', 'a');
  expect(loopback.sims[0]?.state).toBe('active');
  await ipCommands.create({ sim: 'a', payload: 'found', devicePort: port });
  expect((await next()).bytes.toString()).toBe('found');

  loopback.setSimState('detached', loopback.sims[0]?.sid ?? '');
  await ipCommands.create({ sim: 'a', payload: 'lost', devicePort: port });
  await loopback.events.take(isStatus('failed'));
  expect(() => loopback.setSimState('active', 'nobody')).toThrow(expect.objectContaining({ code: 'bad-input' }));
  expect(loopback.counters).toMatchObject({ toSim: 3, failed: 2, droppedDetached: 1, fromSim: 0 });
});

test('a SIM that is detached while a command is queued does not receive it', async () => {
  const registry = createSimRegistry(resolveSims([{ name: 'a' }]));
  const events = inbox<LoopbackEvent>('events');
  const commands = createCommands({
    accountSid: `AC${'0'.repeat(32)}`,
    assumptions: resolveAssumptions({}),
    store: createStore(10),
    registry,
    radio: { carry: async ({ bytes }, deliver) => deliver(bytes) },
    send: () => Promise.resolve(),
    sendWebhook: () => undefined,
    emit: events.push,
  });
  const [sim] = registry.sims();
  if (sim === undefined) throw new Error('no SIM');
  const { status } = commands.accept({ sim, devicePort: 9, payload: 'x', payloadType: 'text' });
  registry.setState('detached', 'a');
  expect(status).toBe('queued');
  expect(await events.take(isStatus('failed'))).toMatchObject({ errorCode: 83401 });
});

test('a command fails when its datagram cannot be sent', async () => {
  // Linux refuses a broadcast without SO_BROADCAST, and every system an unreachable address family.
  const loopback = await start({ sims: [{ name: 'a', address: '255.255.255.255' }] });
  await client(loopback).ipCommands.create({ sim: 'a', payload: 'x', devicePort: 9 });
  expect(await loopback.events.take(isStatus('failed'))).toMatchObject({ errorCode: 83400 });
});

test('stored commands are bounded, and the oldest is evicted', async () => {
  const loopback = await start({ maxCommands: 3 });
  const { ipCommands } = client(loopback);
  const [oldest] = [await ipCommands.create({ sim: 'gateway-1', payload: '0', devicePort: 9 })];
  for (const payload of ['1', '2', '3']) await ipCommands.create({ sim: 'gateway-1', payload, devicePort: 9 });
  expect((await ipCommands.list()).map((command) => command.payload)).toEqual(['3', '2', '1']);
  await expect(ipCommands(oldest.sid).fetch()).rejects.toMatchObject({ status: 404, code: 20404 });
});
