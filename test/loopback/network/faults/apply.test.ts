import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  applyFaults,
  type FaultResult,
  type FaultState,
  newFaultState,
  type Packet,
} from '../../../../loopback/network/faults/apply.js';
import { type FaultsInput, resolveFaults, type Way } from '../../../../loopback/network/faults/settings.js';
import { SEED } from '../../../support/seed.js';

const begin = (faults: FaultsInput, seed = SEED) => newFaultState(resolveFaults(faults), seed);

/** Sends packets one after the other, one a millisecond. */
function sendAll(state: FaultState, packets: readonly Packet[]): FaultResult[] {
  let current = state;
  return packets.map((packet, index) => {
    const passage = applyFaults(current, packet, index);
    current = passage.state;
    return passage;
  });
}

const packets = (count: number, way: Way = 'down', length = 4): Packet[] =>
  Array.from({ length: count }, (_, index) => ({ way, bytes: Buffer.alloc(length, index) }));

const namesOf = ({ hits }: FaultResult) => hits.map(({ fault }) => fault);

/** The numbers of the packets that a fault hit. */
const hitBy = (passages: readonly FaultResult[], fault: string) =>
  passages.filter((passage) => namesOf(passage).some((name) => name === fault)).map(({ packet }) => packet);

/** Returns the packets in the order of their arrival. */
const arrivals = (passages: readonly FaultResult[]) =>
  passages
    .flatMap(({ deliveries, packet }) => deliveries.map(({ at }) => ({ at, packet })))
    .sort((a, b) => a.at - b.at)
    .map(({ packet }) => packet);

const bitsSet = (bytes: Buffer) =>
  [...bytes].reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
const differing = (a: Buffer, b: Buffer) => [...a.keys()].filter((index) => a[index] !== b[index]);

const anyBytes = fc.uint8Array({ maxLength: 1300 }).map((bytes) => Buffer.from(bytes));
const anyWay = fc.constantFrom('down' as const, 'up' as const);
const anyPacket = fc.record({ way: anyWay, bytes: anyBytes });
const anyHits = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 5 }),
);
const anyDelay = fc.integer({ min: 0, max: 600_000 }).map((ms) => `${ms}ms`);
const rules = {
  loss: anyHits,
  duplicate: anyHits,
  reorder: anyHits,
  corrupt: anyHits,
  truncate: anyHits,
  delay: anyDelay,
  jitter: anyDelay,
  reorderDelay: anyDelay,
  duplicateDelay: anyDelay,
};
const anyRules = fc.record(rules, { requiredKeys: [] });
const anyFaults = fc.record({ ...rules, down: anyRules, up: anyRules }, { requiredKeys: [] });
const anySeed = fc.integer({ min: 0, max: 2 ** 32 - 1 });

test('without faults each packet arrives once, unchanged, without delay', () => {
  fc.assert(
    fc.property(anySeed, anyPacket, fc.double({ noNaN: true, min: 0, max: 1e9 }), (seed, packet, now) => {
      const { deliveries, hits } = applyFaults(begin({}, seed), packet, now);
      expect({ deliveries, hits }).toEqual({ deliveries: [{ at: now, bytes: packet.bytes }], hits: [] });
    }),
    { seed: SEED },
  );
});

test('the same seed, faults and packets give the same result, and no input is changed', () => {
  fc.assert(
    fc.property(anyFaults, anySeed, fc.array(anyPacket, { maxLength: 20 }), (faults, seed, given) => {
      const state = begin(faults, seed);
      const before = structuredClone(given);
      const first = sendAll(state, given);
      expect(sendAll(state, given)).toEqual(first);
      expect(sendAll(begin(faults, seed), given)).toEqual(first);
      expect(given.map(({ bytes }) => [...bytes])).toEqual(before.map(({ bytes }) => [...bytes]));
      expect(state.packets).toEqual({ down: 0, up: 0 });
    }),
    { seed: SEED },
  );
});

test('with any faults at most two copies arrive, never early, never longer, and every change is reported', () => {
  const most = 4 * 600_000;
  fc.assert(
    fc.property(anyFaults, anySeed, fc.array(anyPacket, { maxLength: 20 }), (faults, seed, given) => {
      for (const [index, passage] of sendAll(begin(faults, seed), given).entries()) {
        const bytes = given[index]?.bytes ?? Buffer.alloc(0);
        const names = namesOf(passage);
        const { deliveries } = passage;
        expect(new Set(names).size).toBe(names.length);
        expect(deliveries).toHaveLength(names.includes('loss') ? 0 : names.includes('duplicate') ? 2 : 1);
        for (const { at } of deliveries) expect(at >= index && at <= index + most).toBe(true);
        const [arrived, copy] = deliveries;
        const damaged = names.includes('corrupt') || names.includes('truncate');
        if (arrived) expect(arrived.bytes.equals(bytes)).toBe(!damaged);
        if (copy) expect(copy.bytes.equals(bytes)).toBe(true);
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test('another seed hits other packets', () => {
  const lost = (seed: number) => hitBy(sendAll(begin({ loss: 0.5 }, seed), packets(100)), 'loss').join();
  expect(new Set([0, 1, 2, 3, 2 ** 32 - 1].map(lost)).size).toBe(5);
});

describe('the frequency of faults', () => {
  const COUNT = 20_000;

  test.each(['loss', 'duplicate', 'reorder', 'corrupt', 'truncate'] as const)('of %s is its probability', (fault) => {
    for (const rate of [0, 0.01, 0.2, 0.5, 1]) {
      for (const way of ['down', 'up'] as const) {
        const hit = hitBy(sendAll(begin({ [fault]: rate }), packets(COUNT, way)), fault).length;
        // Five standard deviations.
        const margin = 5 * Math.sqrt(COUNT * rate * (1 - rate));
        expect(Math.abs(hit - rate * COUNT), `${fault}=${rate} ${way}, seed ${SEED}: ${hit}`).toBeLessThanOrEqual(
          margin,
        );
      }
    }
  });

  test('is independent of other faults, of the packet before, and of the other direction', () => {
    const all = { loss: 0, duplicate: 0.5, reorder: 0.5, corrupt: 0.5, truncate: 0.5 };
    const down = sendAll(begin(all), packets(COUNT));
    const up = sendAll(begin(all), packets(COUNT, 'up'));
    const series = [
      ...(['duplicate', 'reorder', 'corrupt', 'truncate'] as const).map((fault) => new Set(hitBy(down, fault))),
      ...(['duplicate', 'reorder'] as const).map((fault) => new Set(hitBy(down, fault).map((packet) => packet + 1))),
      new Set(hitBy(up, 'duplicate')),
    ];
    const margin = 5 * Math.sqrt(COUNT * 0.25 * 0.75);
    for (const [index, one] of series.entries()) {
      for (const other of series.slice(index + 1)) {
        const together = [...one].filter((packet) => other.has(packet)).length;
        expect(Math.abs(together - COUNT / 4)).toBeLessThanOrEqual(margin);
      }
    }
  });

  test('setting one fault does not change which packets another one hits', () => {
    const alone = hitBy(sendAll(begin({ duplicate: 0.3 }), packets(500)), 'duplicate');
    const others = { reorder: 0.5, corrupt: [3], truncate: 0.9, jitter: '1s' };
    expect(hitBy(sendAll(begin({ ...others, duplicate: 0.3 }), packets(500)), 'duplicate')).toEqual(alone);
  });
});

test.each(['loss', 'duplicate', 'reorder', 'corrupt', 'truncate'] as const)(
  'exact packets: %s hits 2 and 5 only',
  (fault) => {
    expect(hitBy(sendAll(begin({ [fault]: [2, 5] }), packets(10)), fault)).toEqual([2, 5]);
  },
);

test.each<[FaultsInput, Way[]]>([
  [{ loss: 1 }, ['down', 'up']],
  [{ down: { loss: 1 } }, ['down']],
  [{ up: { loss: 1 } }, ['up']],
  [{ loss: 1, up: { loss: 0 } }, ['down']],
  [{ loss: 1, down: { loss: [] } }, ['up']],
])('the faults %j hit only packets in the direction %j', (faults, ways) => {
  const mixed = (['down', 'up', 'down', 'up'] as const).map((way) => ({ way, bytes: Buffer.from('x') }));
  const lost = sendAll(begin(faults), mixed).flatMap(({ hits }, index) => (hits.length > 0 ? [mixed[index]?.way] : []));
  expect(lost).toEqual(mixed.map(({ way }) => way).filter((way) => ways.includes(way)));
});

test('each direction counts its own packets, and faults do not depend on the other direction’s', () => {
  const faults = { loss: 0.3, duplicate: 0.3, jitter: '50ms' };
  const alone = sendAll(begin(faults), packets(50, 'up')).map(({ packet, hits }) => ({ packet, hits }));
  const mixed = packets(50, 'up').flatMap((packet, index) => [...packets(index % 3), packet]);
  const together = sendAll(begin(faults), mixed).filter((_, index) => mixed[index]?.way === 'up');
  expect(together.map(({ packet, hits }) => ({ packet, hits }))).toEqual(alone);
});

test('a delay is the same for all packets and keeps their order', () => {
  const passages = sendAll(begin({ delay: '1s' }), packets(100));
  for (const [index, { deliveries, hits }] of passages.entries()) {
    expect(deliveries).toEqual([{ at: index + 1000, bytes: Buffer.alloc(4, index) }]);
    expect(hits).toEqual([{ fault: 'delay', delayMs: 1000 }]);
  }
});

test('jitter covers its whole range, and lets packets overtake each other', () => {
  const passages = sendAll(begin({ delay: '20ms', jitter: '100ms' }), packets(2000));
  const waits = passages.map(({ deliveries }, index) => (deliveries[0]?.at ?? 0) - index);
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(20);
  expect(Math.min(...waits)).toBeLessThan(21);
  expect(Math.max(...waits)).toBeLessThan(120);
  expect(Math.max(...waits)).toBeGreaterThan(119);
  expect(arrivals(passages)).not.toEqual(passages.map(({ packet }) => packet));
});

test('a reordered packet is overtaken by the next ones, and by no others', () => {
  const passages = sendAll(begin({ reorder: [3], reorderDelay: '2.5s', delay: '1s' }), packets(3000));
  const order = arrivals(passages);
  expect(order.slice(0, 4)).toEqual([1, 2, 4, 5]);
  // It arrives at the same time as packet 2503, and before it.
  expect(order.indexOf(3)).toBe(1 + 2500);
  expect(passages[2]?.hits).toEqual([
    { fault: 'delay', delayMs: 1000 },
    { fault: 'reorder', delayMs: 2500 },
  ]);
  expect(order.filter((packet) => packet !== 3)).toEqual(order.filter((packet) => packet !== 3).sort((a, b) => a - b));
});

test('a duplicate has a delay of its own', () => {
  const [later] = sendAll(begin({ duplicate: 1, delay: '10ms', duplicateDelay: '5s' }), packets(1));
  expect(later?.deliveries.map(({ at }) => at)).toEqual([10, 5010]);
  expect(later?.hits).toContainEqual({ fault: 'duplicate', delayMs: 5010 });
  const own = sendAll(begin({ duplicate: 1, jitter: '1s' }), packets(200));
  const firsts = own.filter(
    ({ deliveries: [one, copy] }) => one !== undefined && copy !== undefined && one.at < copy.at,
  );
  expect(firsts.length).toBeGreaterThan(60);
  expect(firsts.length).toBeLessThan(140);
});

test('corruption flips one to eight bits of one byte, at every position', () => {
  const places = new Set<number>();
  const numbers = new Set<number>();
  for (const { deliveries } of sendAll(
    begin({ corrupt: 1 }),
    packets(2000, 'up', 8).map((packet) => ({ ...packet, bytes: Buffer.alloc(8) })),
  )) {
    const [{ bytes } = { bytes: Buffer.alloc(0) }] = deliveries;
    const changed = differing(bytes, Buffer.alloc(8));
    expect(changed).toHaveLength(1);
    for (const place of changed) places.add(place);
    numbers.add(bitsSet(bytes));
  }
  expect([...places].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect([...numbers].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test('truncation keeps a beginning of any length but the whole', () => {
  const whole = Buffer.from('abcd');
  const sizes = new Set<number>();
  for (const { deliveries, hits } of sendAll(
    begin({ truncate: 1 }),
    packets(200).map((packet) => ({ ...packet, bytes: whole })),
  )) {
    const [{ bytes } = { bytes: whole }] = deliveries;
    expect(bytes.equals(whole.subarray(0, bytes.length))).toBe(true);
    expect(hits).toEqual([{ fault: 'truncate', keptBytes: bytes.length }]);
    sizes.add(bytes.length);
  }
  expect([...sizes].sort()).toEqual([0, 1, 2, 3]);
});

test('an empty packet is not damaged, and no fault is reported', () => {
  const [passage] = sendAll(begin({ corrupt: 1, truncate: 1 }), [{ way: 'up', bytes: Buffer.alloc(0) }]);
  expect(passage).toMatchObject({ hits: [], deliveries: [{ bytes: Buffer.alloc(0) }] });
});

test('a lost packet is neither damaged nor duplicated', () => {
  const all = { loss: 1, duplicate: 1, reorder: 1, corrupt: 1, truncate: 1, delay: '1s' };
  const [passage] = sendAll(begin(all), packets(1));
  expect(passage).toMatchObject({ deliveries: [], hits: [{ fault: 'loss' }] });
});
