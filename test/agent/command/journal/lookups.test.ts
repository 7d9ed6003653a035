import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLookups, MAX_READING, MAX_WAITING, type Wanted } from '../../../../agent/command/journal/lookups.js';
import type { Found } from '../../../../agent/command/journal/types.js';
import { deferred } from '../../../support/deferred.js';
import { ENDED, keyOf, RUNNING } from './support.js';

const NUMBERS = new Map(Array.from({ length: 2 * MAX_WAITING + 8 }, (_, id) => [keyOf(id).toString('hex'), id]));

const idOf = ({ key }: Wanted) => NUMBERS.get(Buffer.from(key ?? []).toString('hex')) ?? -1;

/** All that follows from what was settled has happened. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

// No time passes: all answers are given in one slice.
beforeEach(() => void vi.spyOn(performance, 'now').mockReturnValue(0));
afterEach(() => void vi.restoreAllMocks());

interface Read {
  readonly id: number;
  readonly finish: (found?: Found) => void;
}

/** Lookups of which the test answers those that read the disk: commands with an odd number. */
function start(nowhere: () => Found | undefined = () => undefined) {
  const reads: Read[] = [];
  const events: string[] = [];
  const live = new Set<number>();
  /** Numbers of commands that have ended since, with the same hash as the key of another. */
  const ended = new Map<number, number[]>();
  const lookups = createLookups({
    inMemory(wanted) {
      const id = idOf(wanted);
      if (live.has(id)) return RUNNING;
      const numbers = [...(id % 2 === 1 ? [id] : []), ...(ended.get(id) ?? [])];
      return numbers.length > 0 ? { kind: 'doubt', numbers } : nowhere();
    },
    onDisk(wanted) {
      const { promise, resolve } = deferred<Found | undefined>();
      reads.push({ id: idOf(wanted), finish: resolve });
      events.push(`read ${idOf(wanted)}`);
      return promise;
    },
    nowhere,
  });
  return {
    ...lookups,
    events,
    live,
    ended,
    reads,
    find(id: number, peer = 'gateway', next: (found?: Found) => void = () => undefined): void {
      const then = (found?: Found) => {
        events.push(`${id} ${found?.kind ?? 'new'}`);
        next(found);
      };
      lookups.find({ key: keyOf(id), lifetimeMs: 1 }, peer, then);
    },
    /** Finishes the oldest read for a command. */
    async answer(id: number, found?: Found): Promise<void> {
      const at = reads.findIndex((read) => read.id === id);
      if (at >= 0) reads.splice(at, 1)[0]?.finish(found);
      await turn();
    },
  };
}

describe('lookups', () => {
  it('are answered at once where memory can', () => {
    const { find, open, events } = start();
    open();
    find(2);
    find(4);
    expect(events).toEqual(['2 new', '4 new']);
  });

  it('of one peer read at the same time, and are answered in their order; those of others do not wait', async () => {
    const { find, open, answer, events } = start();
    open();
    for (const id of [1, 2, 3]) find(id);
    find(4, 'other');
    find(5, 'third');
    expect(events).toEqual(['read 1', 'read 3', '4 new', 'read 5']);
    await answer(3);
    await answer(5);
    expect(events.slice(4)).toEqual(['5 new']);
    await answer(1, ENDED);
    expect(events.slice(5)).toEqual(['1 ended', '2 new', '3 new']);
    find(6);
    expect(events.slice(8)).toEqual(['6 new']);
  });

  it('wait until they are opened, and are then answered in their order', async () => {
    const { find, open, answer, events } = start();
    for (const id of [2, 1, 4]) find(id);
    find(6, 'other');
    expect(events).toEqual([]);
    open();
    open();
    await answer(1);
    expect(events.filter((event) => !event.startsWith('6'))).toEqual(['read 1', '2 new', '1 new', '4 new']);
    expect(events).toContain('6 new');
  });

  it('that are made by the answer to another come after those that wait', async () => {
    const { find, open, answer, events } = start();
    open();
    find(1, 'gateway', () => find(4));
    find(2);
    await answer(1);
    expect(events).toEqual(['read 1', '1 new', '2 new', '4 new']);
  });

  it('are refused when too many wait, and taken again when they were answered', async () => {
    const { find, open, events, answer } = start();
    const most = (MAX_WAITING / 4) * 3;
    for (let id = 0; id < most; id++) find(2 * id);
    expect(events).toEqual([]);
    find(2 * most);
    expect(events).toEqual([`${2 * most} unknown`]);
    // Another peer has room.
    find(2 * most, 'other');
    expect(events).toHaveLength(1);
    open();
    await turn();
    expect(events).toHaveLength(most + 2);
    find(1);
    await answer(1);
    expect(events.slice(-2)).toEqual(['read 1', '1 new']);
  });

  it('leave turns of the event loop between their answers when these take long', async () => {
    const { find, open, events } = start();
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now++);
    for (const id of [2, 4, 6]) find(id);
    open();
    expect(events).toEqual(['2 new']);
    await turn();
    expect(events).toEqual(['2 new', '4 new']);
    find(8);
    for (let turns = 0; turns < 3; turns++) await turn();
    expect(events).toEqual(['2 new', '4 new', '6 new', '8 new']);
  });

  it('of a thousand repeats at once are all answered from the disk, and not all of them read at the same time', async () => {
    const { find, open, events, reads } = start();
    open();
    const ids = Array.from({ length: 1000 }, (_, at) => 2 * at + 1);
    for (const id of ids) find(id);
    let rounds = 0;
    for (; reads.length > 0; rounds++) {
      expect(reads.length).toBeLessThanOrEqual(MAX_READING);
      for (const { finish } of reads.splice(0)) finish(ENDED);
      await turn();
    }
    expect(rounds).toBe(Math.ceil(1000 / MAX_READING));
    expect(events.filter((event) => !event.startsWith('read'))).toEqual(ids.map((id) => `${id} ended`));
  });
});

describe('what was read while others were before it', () => {
  it('does not count when memory says meanwhile that the command runs', async () => {
    const { find, open, answer, events, live } = start();
    open();
    find(1, 'gateway', () => live.add(1));
    find(1);
    await answer(1);
    await answer(1);
    expect(events).toEqual(['read 1', 'read 1', '1 new', '1 running']);
  });

  it('is read again when a copy before it has begun a command that has ended since', async () => {
    const { find, open, answer, events, ended } = start();
    open();
    find(3);
    find(1, 'gateway', () => ended.set(1, [100]));
    find(1);
    find(5);
    for (const id of [1, 1, 5]) await answer(id);
    expect(events).toEqual(['read 3', 'read 1', 'read 1', 'read 5']);
    await answer(3);
    expect(events.slice(4)).toEqual(['3 new', '1 new', 'read 1']);
    await answer(1, ENDED);
    expect(events.slice(7)).toEqual(['1 ended', '5 new']);
  });

  it('is read when memory did not name it before', async () => {
    const { find, open, answer, events, ended } = start();
    open();
    find(1, 'gateway', () => ended.set(2, [100]));
    find(2);
    await answer(1);
    expect(events).toEqual(['read 1', '1 new', 'read 2']);
    await answer(2, ENDED);
    expect(events.slice(3)).toEqual(['2 ended']);
  });

  it('and was not found is judged by what is so when its turn comes', async () => {
    let isLost = false;
    const { find, open, answer, events } = start(() => (isLost ? { kind: 'lost' } : undefined));
    open();
    find(1);
    find(3);
    await answer(3);
    isLost = true;
    await answer(1);
    expect(events.slice(2)).toEqual(['1 lost', '3 lost']);
  });
});

/** What happens: a datagram comes, one of the reads that are under way is finished, or a command ends. */
const happening = fc.oneof(
  fc.record({ kind: fc.constant('find' as const), which: fc.nat(3), isShort: fc.boolean() }),
  fc.record({ kind: fc.constantFrom('read' as const, 'end' as const), which: fc.nat(20), isShort: fc.constant(false) }),
);

/**
 * A journal of few keys, which all have the same hash. A read knows what was so when it began; a datagram that is new
 * begins a command, which may end at once.
 */
function createModel() {
  const numbers = [0];
  const done = new Set([1]);
  const live = new Set<number>();
  const runs: number[] = [];
  const wrong: string[] = [];
  const reads: (() => void)[] = [];
  const asked = new Map<string, string[]>();
  const answered = new Map<string, string[]>();
  const lookups = createLookups({
    inMemory(wanted) {
      const id = idOf(wanted);
      if (live.has(id)) return RUNNING;
      return { kind: 'doubt', numbers: [...numbers] };
    },
    onDisk(wanted) {
      const found = done.has(idOf(wanted)) ? ENDED : undefined;
      const { promise, resolve } = deferred<Found | undefined>();
      reads.push(() => resolve(found));
      return promise;
    },
    nowhere: () => undefined,
  });

  const note = (log: Map<string, string[]>, peer: string, what: string) =>
    log.set(peer, [...(log.get(peer) ?? []), what]);

  let count = 0;
  function find(id: number, peer: string, isShort: boolean): void {
    const name = `${count++}`;
    note(asked, peer, name);
    lookups.find({ key: keyOf(id), lifetimeMs: 1 }, peer, (found) => {
      note(answered, peer, name);
      if (found?.kind !== (live.has(id) ? 'running' : done.has(id) ? 'ended' : undefined)) wrong.push(`${found?.kind}`);
      if (found !== undefined) return;
      live.add(id);
      runs.push(id);
      if (isShort) end(live.size - 1);
    });
  }

  function end(which: number): void {
    const id = [...live][which % live.size];
    if (id === undefined || !live.delete(id)) return;
    done.add(id);
    numbers.push(numbers.length);
  }

  function finishRead(which: number): void {
    reads.splice(which % Math.max(1, reads.length), 1)[0]?.();
  }

  return { ...lookups, find, end, finishRead, reads, runs, wrong, asked, answered };
}

describe('whatever the order in which reads finish and commands end', () => {
  it('no command runs twice, each answer is true when it is given, and the order of a peer stays', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { maxLength: 40 }), fc.nat(10), async (happenings, openAt) => {
        const { open, find, end, finishRead, reads, runs, wrong, asked, answered } = createModel();
        for (const [at, { kind, which, isShort }] of happenings.entries()) {
          if (at === openAt) open();
          // A key is of one peer.
          if (kind === 'find') find(which, which === 0 ? 'other' : 'gateway', isShort);
          else if (kind === 'end') end(which);
          else finishRead(which);
          await turn();
        }
        open();
        for (await turn(); reads.length > 0; await turn()) finishRead(runs.length);
        expect(runs).toEqual([...new Set(runs)]);
        expect(wrong).toEqual([]);
        expect(answered).toEqual(asked);
      }),
      { numRuns: 500 },
    );
  });
});
