import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type LoopbackEvent, SIM_STATES } from '../../../loopback/index.js';
import { resolveFaults } from '../../../loopback/network/faults/settings.js';
import { createRadio, MAX_IN_FLIGHT } from '../../../loopback/network/radio.js';
import { client, device, get, isStatus, isType, receiver, start } from '../support.js';

type Target = Awaited<ReturnType<typeof start>>;

const isFault = (fault: string) => (event: LoopbackEvent) => event.type === 'fault' && event.fault === fault;

async function send(loopback: Target, devicePort: number, payloads: readonly string[]) {
  const { ipCommands } = client(loopback);
  const statuses: string[] = [];
  for (const payload of payloads) {
    const { sid } = await ipCommands.create({ sim: 'gateway-1', payload, devicePort });
    await loopback.events.take(
      (event) => event.type === 'command' && event.command.sid === sid && event.command.status !== 'queued',
    );
    statuses.push((await ipCommands(sid).fetch()).status);
  }
  return statuses;
}

const next = async ({ next }: Awaited<ReturnType<typeof device>>) => (await next()).bytes.toString();

async function received(loopback: Target): Promise<string> {
  const event = await loopback.events.take(isStatus('received'));
  return event.type === 'command' ? Buffer.from(event.command.payload, 'base64').toString() : '';
}

describe('faults of packets to the device', () => {
  test('lose packets 2 and 5, while all commands are sent for the API', async () => {
    const loopback = await start({ faults: { down: { loss: [2, 5] } }, seed: 1 });
    const gateway = await device();
    expect(await send(loopback, gateway.port, ['1', '2', '3', '4', '5', '6'])).toEqual(Array(6).fill('sent'));
    expect([await next(gateway), await next(gateway), await next(gateway), await next(gateway)]).toEqual([
      '1',
      '3',
      '4',
      '6',
    ]);
    for (const packet of [2, 5]) {
      expect(await loopback.events.take(isFault('loss'))).toEqual({
        type: 'fault',
        fault: 'loss',
        way: 'down',
        packet,
        simName: 'gateway-1',
        bytes: 1,
      });
    }
    expect(loopback.counters).toMatchObject({ toSim: 6, lost: 2, failed: 0 });
    expect(loopback.faults()).toMatchObject({ packets: { down: 6, up: 0 }, inFlight: 0 });
  });

  test('duplicate, corrupt and truncate packets', async () => {
    const loopback = await start({ faults: { down: { duplicate: [1], corrupt: [2], truncate: [3] } }, seed: 1 });
    const gateway = await device();
    await send(loopback, gateway.port, ['twice', 'damaged', 'short', 'whole']);
    expect([await next(gateway), await next(gateway)]).toEqual(['twice', 'twice']);
    const damaged = (await gateway.next()).bytes;
    expect(damaged).toHaveLength(7);
    expect(damaged.toString('latin1')).not.toBe('damaged');
    const short = await next(gateway);
    expect('short'.startsWith(short)).toBe(true);
    expect(await next(gateway)).toBe('whole');
    expect(await loopback.events.take(isFault('truncate'))).toMatchObject({
      packet: 3,
      keptBytes: short.length,
      bytes: 5,
    });
    expect(loopback.counters).toMatchObject({ duplicated: 1, corrupted: 1, truncated: 1 });
  });

  test('reorder a packet behind the next one', async () => {
    const loopback = await start({ faults: { down: { reorder: [1], reorderDelay: '1s' } } });
    const gateway = await device();
    await send(loopback, gateway.port, ['1', '2']);
    expect([await next(gateway), await next(gateway)]).toEqual(['2', '1']);
    expect(loopback.counters).toMatchObject({ reordered: 1, delayed: 0 });
  });

  test('deliver no delayed packet to a SIM that is detached by then', async () => {
    const loopback = await start({ faults: { down: { delay: '1s' } } });
    const gateway = await device();
    expect(await send(loopback, gateway.port, ['1'])).toEqual(['sent']);
    expect(loopback.faults().inFlight).toBe(1);
    loopback.setSimState('detached');
    expect(await loopback.events.take(isType('dropped'))).toEqual({
      type: 'dropped',
      cause: 'detached',
      address: '127.0.0.2',
      port: gateway.port,
      bytes: 1,
    });
    expect(loopback.faults().inFlight).toBe(0);
  });

  test('report an error when a delayed datagram cannot be sent, as its command is sent already', async () => {
    const sims = [{ name: 'gateway-1', address: '255.255.255.255' }];
    const loopback = await start({ sims, faults: { delay: '1ms' } });
    expect(await send(loopback, 9, ['x'])).toEqual(['sent']);
    expect(await loopback.events.take(isType('error'))).toMatchObject({ message: expect.stringContaining('UDP: ') });
  });
});

describe('faults of packets from the device', () => {
  test('make no resource and no webhook of a lost packet, and two of a duplicate', async () => {
    const loopback = await start({ faults: { up: { loss: [1], duplicate: [2] } } });
    const hook = await receiver();
    await client(loopback).fleets('fleet-1').update({ ipCommandsUrl: hook.url });
    const gateway = await device();
    await gateway.send('lost', loopback.gateway);
    expect(await loopback.events.take(isFault('loss'))).toMatchObject({ way: 'up', packet: 1, bytes: 4 });
    await gateway.send('twice', loopback.gateway);
    const payload = Buffer.from('twice').toString('base64');
    const sids = [await hook.requests.take(), await hook.requests.take()].map(({ body }) => {
      const params = new URLSearchParams(body);
      expect(params.get('Payload')).toBe(payload);
      return params.get('Sid') ?? '';
    });
    expect(new Set(sids).size).toBe(2);
    const listed = await client(loopback).ipCommands.list();
    expect(listed.map(({ sid }) => sid).sort()).toEqual(sids.sort());
    expect(listed).toMatchObject([
      { payload, devicePort: gateway.port },
      { payload, devicePort: gateway.port },
    ]);
    expect(hook.count()).toBe(2);
  });

  test('count only packets of SIMs', async () => {
    const loopback = await start({ faults: { up: { loss: [1] } } });
    const [stranger, gateway] = [await device('127.0.0.99'), await device()];
    await stranger.send('x', loopback.gateway);
    await loopback.events.take(isType('dropped'));
    await gateway.send('lost', loopback.gateway);
    await gateway.send('found', loopback.gateway);
    expect(await received(loopback)).toBe('found');
  });

  test('reorder and delay packets', async () => {
    const loopback = await start({ faults: { up: { reorder: [1], reorderDelay: '200ms', delay: '5ms' } } });
    const gateway = await device();
    await gateway.send('1', loopback.gateway);
    await gateway.send('2', loopback.gateway);
    expect([await received(loopback), await received(loopback)]).toEqual(['2', '1']);
    expect(loopback.counters).toMatchObject({ reordered: 1, delayed: 2 });
  });
});

test('of one direction leave the other as it was', async () => {
  const loopback = await start({ faults: { up: { loss: 1 } } });
  const gateway = await device();
  await send(loopback, gateway.port, ['down']);
  expect(await next(gateway)).toBe('down');
  await gateway.send('up', loopback.gateway);
  expect(await loopback.events.take(isFault('loss'))).toMatchObject({ way: 'up' });
  expect(loopback.counters.fromSim).toBe(0);
});

test('setting faults counts packets from 1 again, and the same seed hits the same again', async () => {
  const loopback = await start();
  const gateway = await device();
  const lost = async () => {
    loopback.setFaults({ down: { loss: 0.5 } }, 7);
    const before = loopback.counters.lost;
    await send(
      loopback,
      gateway.port,
      Array.from({ length: 20 }, (_, index) => `${index}`),
    );
    const packets: number[] = [];
    while (packets.length < loopback.counters.lost - before) {
      const event = await loopback.events.take(isFault('loss'));
      if (event.type === 'fault') packets.push(event.packet);
    }
    return packets;
  };
  const first = await lost();
  expect(first.length).toBeGreaterThan(0);
  expect(await lost()).toEqual(first);
});

test('invalid faults or an invalid seed change nothing', async () => {
  const loopback = await start({ faults: { loss: 1 }, seed: 3 });
  const before = loopback.faults();
  expect(() => loopback.setFaults({ loss: 2 })).toThrow(expect.objectContaining({ code: 'bad-input' }));
  expect(() => loopback.setFaults({}, 0.5)).toThrow(expect.objectContaining({ code: 'bad-input' }));
  expect(loopback.faults()).toEqual(before);
  await expect(start({ faults: { loss: 2 } })).rejects.toMatchObject({ code: 'bad-input' });
  await expect(start({ seed: -1 })).rejects.toMatchObject({ code: 'bad-input' });
});

test.each(SIM_STATES)('faults apply to packets of a SIM that is %s only while it is active', async (state) => {
  const [code, dropped] = { active: [], inactive: [83705, 'droppedInactive'], detached: [83401, 'droppedDetached'] }[
    state
  ];
  const loopback = await start();
  loopback.setSimState(state, 'gateway-1');
  const gateway = await device();
  const hook = await receiver();
  const { ipCommands } = client(loopback);
  const command = { sim: 'gateway-1', payload: 'x', devicePort: gateway.port, callbackUrl: hook.url };
  const { sid } = await ipCommands.create(command);
  const params = new URLSearchParams((await hook.requests.take()).body);
  await gateway.send('up', loopback.gateway);
  if (state === 'active') {
    expect(params.get('Status')).toBe('sent');
    expect(await next(gateway)).toBe('x');
    expect(await received(loopback)).toBe('up');
    return;
  }
  expect(params.get('Status')).toBe('failed');
  expect(params.get('ErrorCode')).toBe(`${code}`);
  expect((await get(loopback, `/v1/IpCommands/${sid}`)).body).toMatchObject({ status: 'failed', device_ip: null });
  expect(await loopback.events.take(isType('dropped'))).toMatchObject({ cause: state, bytes: 2 });
  expect(loopback.counters).toMatchObject({ [`${dropped}`]: 1, fromSim: 0 });
  // The radio got no packet, so nothing was sent.
  expect(loopback.faults().packets).toEqual({ down: 0, up: 0 });
});

test('datagrams in flight are bounded, and further ones are dropped and reported', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const events: LoopbackEvent[] = [];
  const emit = (event: LoopbackEvent) => void events.push(event);
  const onError = () => expect.unreachable();
  const radio = createRadio({ faults: resolveFaults({ delay: '1s' }), seed: 0, emit, onError });
  let delivered = 0;
  const carry = () =>
    radio.carry(
      { way: 'up', bytes: Buffer.from('abc'), simName: 'a', device: { address: '127.0.0.2', port: 9 } },
      () => {
        delivered += 1;
      },
    );
  for (let index = 0; index < MAX_IN_FLIGHT; index += 1) await carry();
  expect(events.filter(isType('dropped'))).toEqual([]);
  await carry();
  const drop = { type: 'dropped', cause: 'too-many-in-flight', address: '127.0.0.2', port: 9, bytes: 3 };
  expect(events.filter(isType('dropped'))).toEqual([drop]);
  expect(radio.status().inFlight).toBe(MAX_IN_FLIGHT);
  vi.advanceTimersByTime(1100);
  expect(delivered).toBe(MAX_IN_FLIGHT);
  await carry();
  radio.close();
  await carry();
  expect(vi.getTimerCount()).toBe(0);
});

test('stopping discards packets in flight', async () => {
  const loopback = await start({ faults: { delay: '10min' } });
  expect(await send(loopback, 9, ['x'])).toEqual(['sent']);
  await loopback.stop();
  expect(loopback.faults().inFlight).toBe(0);
});
