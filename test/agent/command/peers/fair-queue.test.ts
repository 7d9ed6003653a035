import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFairQueue, type FairQueue, OVERHEAD_BYTES } from '../../../../agent/command/peers/fair-queue.js';
import type { Datagram } from '../../../../agent/transport/transport.js';

const SIZE = OVERHEAD_BYTES + 4;
/** Room for so many datagrams. */
const ROOM = 20;

/** A datagram that can be told from others by its time. */
const from = (address: string, receivedAt = 0, port = 1): Datagram => ({
  bytes: Buffer.alloc(4),
  source: { address, port },
  port: 6969,
  transport: 'udp',
  receivedAt,
});

function startQueue(room = ROOM) {
  const shed: Datagram[] = [];
  return { shed, queue: createFairQueue((datagram) => shed.push(datagram), room * SIZE) };
}

function takeAll(queue: FairQueue): Datagram[] {
  const taken: Datagram[] = [];
  for (let one = queue.shift(); one !== undefined; one = queue.shift()) taken.push(one);
  return taken;
}

const addressesOf = (datagrams: readonly Datagram[]) => datagrams.map(({ source }) => source.address);
const countOf = (datagrams: readonly Datagram[], address: string) =>
  datagrams.filter(({ source }) => source.address === address).length;

describe('the fair queue', () => {
  it('gives back the datagrams of an address in the order in which they came', () => {
    const { queue } = startQueue();
    const sent = [1, 2, 3, 4].map((time) => from('a', time, time));
    for (const datagram of sent) queue.push(datagram);
    expect(takeAll(queue)).toEqual(sent);
    expect(queue.length).toBe(0);
  });

  it('gives turns to addresses that send much', () => {
    const { queue } = startQueue();
    for (const address of ['a', 'a', 'a', 'b', 'b', 'b']) queue.push(from(address));
    expect(addressesOf(takeAll(queue))).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
  });

  it('gives the first turns to addresses that send little, as long as less than half of the mean waits of them', () => {
    const { queue } = startQueue();
    for (let time = 0; time < 12; time++) queue.push(from('much', time));
    queue.shift();
    queue.shift();
    for (const time of [1, 2]) queue.push(from('little', time));
    expect(addressesOf([queue.shift(true), queue.shift(true)].flatMap((one) => one ?? []))).toEqual([
      'little',
      'little',
    ]);
    expect(queue.shift(true)).toBeUndefined();
    expect(queue.shift()?.source.address).toBe('much');
  });

  it('is one line for all ports of an address', () => {
    const { queue, shed } = startQueue();
    for (let port = 1; port <= 100; port++) queue.push(from('much', port, port));
    for (const time of [1, 2, 3]) queue.push(from('little', time));
    expect(countOf(shed, 'little')).toBe(0);
    expect(addressesOf(takeAll(queue)).indexOf('little')).toBeLessThan(2);
  });

  it('sheds nothing until it is full, then what is new of an address that has all of the room', () => {
    const { queue, shed } = startQueue();
    for (let time = 0; time < ROOM; time++) queue.push(from('a', time));
    expect(shed).toEqual([]);
    queue.push(from('a', ROOM));
    expect(shed.map(({ receivedAt }) => receivedAt)).toEqual([ROOM]);
    expect(takeAll(queue).map(({ receivedAt }) => receivedAt)).toEqual(Array.from({ length: ROOM }, (_, time) => time));
  });

  it('sheds the oldest of the address that has most for one that has less', () => {
    const { queue, shed } = startQueue();
    for (let time = 0; time < ROOM; time++) queue.push(from('much', time));
    for (const time of [1, 2, 3]) queue.push(from('little', time));
    expect(shed.map(({ source, receivedAt }) => [source.address, receivedAt])).toEqual([
      ['much', 0],
      ['much', 1],
      ['much', 2],
    ]);
  });

  it('counts bytes: an address is not favoured by long datagrams', () => {
    const { queue, shed } = startQueue();
    const long = { ...from('long'), bytes: Buffer.alloc(1300) };
    for (let count = 0; count < 5; count++) queue.push(long);
    for (let count = 0; count < 10; count++) queue.push(from('short'));
    expect(shed.length).toBeGreaterThan(0);
    expect(new Set(addressesOf(shed))).toEqual(new Set(['long']));
  });

  it('shares its room alike among addresses that all send too much, however many', () => {
    const { queue, shed } = startQueue();
    for (let round = 0; round < 20; round++) {
      for (const address of ['a', 'b', 'c', 'd']) queue.push(from(address));
    }
    const kept = takeAll(queue);
    expect(['a', 'b', 'c', 'd'].map((address) => countOf(kept, address))).toEqual([5, 5, 5, 5]);
    expect(kept.length + shed.length).toBe(80);
  });

  it('stays within its room with an address for each datagram, and forgets the addresses', () => {
    const { queue, shed } = startQueue();
    for (let number = 0; number < 1000; number++) queue.push(from(`forged ${number}`));
    expect(queue.length).toBe(ROOM);
    expect(shed).toHaveLength(1000 - ROOM);
    expect(takeAll(queue)).toHaveLength(ROOM);
    queue.push(from('forged 0'));
    expect(takeAll(queue)).toHaveLength(1);
  });

  it('takes or sheds each datagram once, stays within its room, and sheds none of addresses below their share, whatever comes', () => {
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.constant('flood' as const) },
      { weight: 2, arbitrary: fc.constantFrom('a' as const, 'b' as const) },
      { weight: 1, arbitrary: fc.constantFrom('take' as const, 'take of short' as const) },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
        const { queue, shed } = startQueue();
        const waiting = new Map([...'ab'].map((address) => [address, 0]));
        const seen: (Datagram | undefined)[] = [];
        let pushed = 0;
        for (const [time, what] of operations.entries()) {
          if (what === 'take' || what === 'take of short') {
            const taken = queue.shift(what === 'take of short');
            seen.push(taken);
            const { address = '' } = taken?.source ?? {};
            waiting.set(address, (waiting.get(address) ?? 0) - 1);
          } else {
            const before = waiting.get(what) ?? 0;
            // A third of the room is the share of each.
            if (what !== 'flood' && before + 1 > ROOM / 3) continue;
            queue.push(from(what, time));
            waiting.set(what, before + 1);
            pushed++;
          }
          expect(queue.length).toBeLessThanOrEqual(ROOM);
        }
        expect(addressesOf(shed).filter((address) => address !== 'flood')).toEqual([]);
        const all = [...seen.flatMap((one) => one ?? []), ...shed, ...takeAll(queue)];
        expect(all).toHaveLength(pushed);
        expect(new Set(all).size).toBe(pushed);
      }),
    );
  });
});
