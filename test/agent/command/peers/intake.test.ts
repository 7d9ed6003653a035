import { describe, expect, it } from 'vitest';
import { createIntake } from '../../../../agent/command/peers/intake.js';
import { READ_AT_ONCE } from '../../../../agent/command/peers/turn-length.js';
import type { Datagram } from '../../../../agent/transport/transport.js';

const READ_MS = 0.008;
/** About as many short datagrams as 4 MiB hold. */
const KERNEL_ROOM = 10_000;
/** Commands that run and wait at most, and the time of the steps that those which run have in one turn. */
const MOST_LATER = 272;
const STEPS_MS = 0.8;

interface Arrival {
  readonly at: number;
  readonly address: string;
  readonly bytes?: Buffer;
}

interface Costs {
  /** Of the event loop, at once. */
  readonly handleMs: number;
  /** Of the event loop, later, in many steps: so a handler works that waits for files. Above a bound all is refused. */
  readonly laterMs?: number;
}

const every = (gapMs: number, endMs: number, address: string, beginMs = 0): Arrival[] =>
  Array.from({ length: Math.floor((endMs - beginMs) / gapMs) }, (_, index) => ({
    at: beginMs + index * gapMs,
    address,
  }));

/** Runs an event loop in time of its own: it reads up to 32 datagrams a turn, the rest waits in the kernel, or is lost. */
function simulate(arrivals: readonly Arrival[], { handleMs, laterMs: eachMs = 0 }: Costs, busyUntil = 0) {
  const coming = [...arrivals].sort((a, b) => a.at - b.at);
  const kernel: Arrival[] = [];
  const handled: { readonly address: string; readonly waitedMs: number; readonly at: number }[] = [];
  const shed: string[] = [];
  const lost: string[] = [];
  let now = 0;
  let idleMs = 0;
  let arrived = 0;
  const arrivedAt = new WeakMap<Datagram, number>();
  let deferred: (() => void)[] = [];
  let laterMs = 0;
  const intake = createIntake({
    handle(datagram) {
      const { source } = datagram;
      now += handleMs;
      if (source.address === 'flood' && laterMs < MOST_LATER * eachMs) laterMs += eachMs;
      handled.push({ address: source.address, waitedMs: now - (arrivedAt.get(datagram) ?? 0), at: now });
    },
    shed: ({ source }) => shed.push(source.address),
    idleMs: () => idleMs,
    now: () => now,
    defer: (call) => deferred.push(call),
  });

  function arrive(): void {
    for (let next = coming[arrived]; next !== undefined && next.at <= now; next = coming[arrived]) {
      arrived++;
      if (kernel.length < KERNEL_ROOM) kernel.push(next);
      else lost.push(next.address);
    }
  }

  function read(): void {
    for (let count = 0; count < READ_AT_ONCE; count++) {
      arrive();
      const next = kernel.shift();
      if (next === undefined) return;
      now += READ_MS;
      const datagram: Datagram = {
        bytes: next.bytes ?? Buffer.alloc(8),
        source: { address: next.address, port: 1 },
        port: 6969,
        transport: 'udp',
        receivedAt: now,
      };
      arrivedAt.set(datagram, next.at);
      if (next.address === 'stranger') intake.countRefused();
      else intake.take(datagram);
    }
  }

  now = busyUntil;
  for (;;) {
    read();
    now += 0.002;
    const calls = deferred;
    deferred = [];
    for (const call of calls) call();
    const stepsMs = Math.min(laterMs, STEPS_MS);
    laterMs -= stepsMs;
    now += stepsMs;
    arrive();
    if (kernel.length > 0 || deferred.length > 0 || laterMs > 0) continue;
    const next = coming[arrived];
    if (next === undefined) return { handled, shed, lost, now };
    idleMs += next.at - now;
    now = next.at;
  }
}

const of = <T>(address: string, items: readonly T[], addressOf: (item: T) => string) =>
  items.filter((item) => addressOf(item) === address);

describe('datagrams of an agent that keeps up', () => {
  it('are handled at once', () => {
    const { handled, shed } = simulate(every(1, 1000, 'peer'), { handleMs: 0.05 });
    expect(handled).toHaveLength(1000);
    expect(shed).toEqual([]);
    expect(Math.max(...handled.map(({ waitedMs }) => waitedMs))).toBeCloseTo(READ_MS + 0.05);
  });

  it('are all handled after a second in which the event loop was busy, 3600 of 1300 bytes too', () => {
    const bytes = Buffer.alloc(1300);
    const burst = every(0.25, 900, 'peer').map((arrival) => ({ ...arrival, bytes }));
    const { handled, shed, lost } = simulate(burst, { handleMs: 0.05 }, 1000);
    expect(handled).toHaveLength(3600);
    expect([shed, lost]).toEqual([[], []]);
  });

  it('are all handled after that when they fill the receive buffer', () => {
    const { handled, shed } = simulate(every(0.09, 900, 'peer'), { handleMs: 0.05 }, 1000);
    expect(handled).toHaveLength(KERNEL_ROOM);
    expect(shed).toEqual([]);
  });
});

describe('a flood of 60,000 datagrams a second from one address', () => {
  const seconds = 2;
  const flood = every(1 / 60, seconds * 1000, 'flood');
  const pings = every(20, seconds * 1000, 'peer', 10);

  it('costs another address nothing when some of it is refused before', () => {
    const refused = flood.map((arrival, index) => (index % 10 === 0 ? { ...arrival, address: 'stranger' } : arrival));
    const { handled, shed, lost } = simulate([...refused, ...pings], { handleMs: 0.1 });
    expect(new Set([...shed, ...lost])).toEqual(new Set(['flood']));
    expect(of('peer', handled, ({ address }) => address)).toHaveLength(pings.length);
  });

  it.each([
    ['cheap commands', { handleMs: 0.03 }],
    ['expensive ones', { handleMs: 0.5 }],
    ['ones whose work comes later', { handleMs: 0.02, laterMs: 0.7 }],
  ])('of %s costs another address nothing, and delays it by milliseconds', (_, costs) => {
    const { handled, shed, lost } = simulate([...flood, ...pings], costs);
    expect(new Set([...shed, ...lost])).toEqual(new Set(['flood']));
    const waited = of('peer', handled, ({ address }) => address).map(({ waitedMs }) => waitedMs);
    expect(waited).toHaveLength(pings.length);
    expect(waited.sort((a, b) => a - b)[Math.floor(waited.length / 2)]).toBeLessThan(2);
    expect(Math.max(...waited)).toBeLessThan(250);
  });

  it('is handled as far as the time that reading leaves goes', () => {
    const { handled } = simulate([...flood, ...pings], { handleMs: 0.03 });
    const during = of('flood', handled, ({ address }) => address).filter(({ at }) => at < seconds * 1000);
    const possible = (seconds * 1000 * (1 - 60 * READ_MS)) / 0.03;
    expect(during.length).toBeGreaterThan(0.8 * possible);
  });

  it('costs an address with bursts of 100 commands nothing', () => {
    const bursts = Array.from({ length: 7 }, (_, index) =>
      every(0.1, 10, 'peer').map(({ address, at }) => ({ address, at: at + index * 500 })),
    );
    const { handled, shed, lost } = simulate([...flood, ...bursts.flat()], { handleMs: 0.1 });
    expect(new Set([...shed, ...lost])).toEqual(new Set(['flood']));
    expect(of('peer', handled, ({ address }) => address)).toHaveLength(700);
  });

  it('from many forged addresses leaves another address an equal share of what can be handled', () => {
    const forged = flood.map(({ at }, index) => ({ at, address: `forged ${index % 100}` }));
    const { handled, shed } = simulate([...forged, ...every(1, seconds * 1000, 'peer')], { handleMs: 0.1 });
    expect(shed).toContain('peer');
    const counts = new Map<string, number>();
    for (const { address } of handled) counts.set(address, (counts.get(address) ?? 0) + 1);
    expect(counts.get('peer')).toBeGreaterThan(0.8 * (handled.length / 101));
  });
});

it('after a flood each datagram is handled at once again', () => {
  const { handled } = simulate([...every(1 / 60, 500, 'flood'), ...every(20, 4000, 'peer', 3000)], { handleMs: 0.03 });
  const after = of('peer', handled, ({ address }) => address);
  expect(after).toHaveLength(50);
  expect(Math.max(...after.map(({ waitedMs }) => waitedMs))).toBeCloseTo(READ_MS + 0.03);
});

it('a handler that blocks the event loop does not keep waiting datagrams from their turns for long', () => {
  const deferred: (() => void)[] = [];
  let now = 0;
  let handled = 0;
  const intake = createIntake({
    handle() {
      handled++;
      now += handled === 1 ? 1000 : 0.01;
    },
    shed: () => undefined,
    idleMs: () => 0,
    now: () => now,
    defer: (call) => deferred.push(call),
  });
  const datagram = { bytes: Buffer.alloc(8), source: { address: 'peer', port: 1 }, port: 1, transport: 'udp' };
  intake.take({ ...datagram, receivedAt: 0 });
  now = 2000;
  for (let count = 0; count < 100; count++) intake.take({ ...datagram, receivedAt: now });
  let turns = 0;
  for (let call = deferred.shift(); call !== undefined; call = deferred.shift()) {
    call();
    turns++;
  }
  expect(handled).toBe(101);
  expect(turns).toBeLessThan(10);
});

it('hands on all that waits when it is drained, and each once', () => {
  const deferred: (() => void)[] = [];
  const handled: Datagram[] = [];
  const intake = createIntake({
    handle: (datagram) => handled.push(datagram),
    shed: () => undefined,
    idleMs: () => 0,
    now: () => 0,
    defer: (call) => deferred.push(call),
  });
  const datagram = { bytes: Buffer.alloc(8), source: { address: 'peer', port: 1 }, port: 1, transport: 'udp' };
  intake.take({ ...datagram, receivedAt: 0 });
  intake.take({ ...datagram, receivedAt: 20 });
  expect(handled).toHaveLength(1);
  intake.drain();
  expect(handled).toHaveLength(2);
  for (const call of deferred) call();
  expect(handled).toHaveLength(2);
});
