import { describe, expect, it } from 'vitest';
import type { Moment } from '../../../../agent/base/moment.js';
import { type Outbox, openOutbox } from '../../../../agent/command/outbox/outbox.js';
import { dropsFor } from '../../../../agent/command/outbox/policy.js';
import { temporaryFolder } from '../../../support/files.js';
import { unansweringFolder } from '../../storage/support.js';
import { openTestDatabase, standingClock, told } from '../journal/support.js';

const LIMITS = { entries: 4, bytes: 100 };
const { clock } = standingClock();
const message = (text: string, kind: 'reply' | 'event' = 'reply', expiresAt = clock().wall + 1000) => ({
  bytes: Buffer.from(text),
  destination: { address: '100.64.0.1', port: 6969 },
  port: 6970,
  kind,
  expiresAt,
});

function drain(outbox: Outbox): string[] {
  const texts = [];
  for (let item = outbox.waiting()[0]; item !== undefined; item = outbox.waiting()[0]) {
    texts.push(item.bytes.toString());
    outbox.remove(item.seq);
  }
  return texts;
}

const textsIn = (outbox: Outbox) => outbox.waiting().map(({ bytes }) => bytes.toString());

describe('what goes for a new entry', () => {
  const item = (seq: number, kind: string, length: number) =>
    ({ seq, kind: kind === 'e' ? 'event' : 'reply', bytes: Buffer.alloc(length) }) as const;
  it.each([
    ['there is room', [['r', 50]], ['r', 50], {}],
    [
      'the oldest event',
      [
        ['r', 1],
        ['e', 1],
        ['e', 1],
        ['r', 1],
      ],
      ['r', 1],
      { 1: 'count' },
    ],
    [
      'the oldest reply where there is no event',
      [
        ['r', 1],
        ['r', 1],
        ['r', 1],
        ['r', 1],
      ],
      ['r', 1],
      { 0: 'count' },
    ],
    [
      'a new event itself where only replies wait',
      [
        ['r', 1],
        ['r', 1],
        ['r', 1],
        ['r', 1],
      ],
      ['e', 1],
      { 4: 'count' },
    ],
    [
      'as many as it takes',
      [
        ['r', 40],
        ['e', 10],
        ['e', 40],
      ],
      ['r', 60],
      { 1: 'bytes', 2: 'bytes' },
    ],
    [
      'events, then replies',
      [
        ['r', 60],
        ['e', 10],
        ['r', 30],
      ],
      ['r', 60],
      { 1: 'bytes', 0: 'bytes' },
    ],
    ['nothing but itself when it can never fit', [['r', 40]], ['r', 101], { 1: 'bytes' }],
  ] as const)('%s', (_, waiting, [kind, length], drops) => {
    const all = waiting.map(([one, size], seq) => item(seq, one, size));
    expect(Object.fromEntries(dropsFor(all, item(all.length, kind, length), LIMITS))).toEqual(drops);
  });
});

describe('the outbox', () => {
  it('gives what waits in order, also after a restart', async () => {
    const folder = temporaryFolder();
    const database = await openTestDatabase(folder);
    const outbox = await openOutbox(database, clock);
    for (const text of ['a', 'b', 'c']) expect(await told((done) => outbox.push(message(text), done))).toBeUndefined();
    const first = outbox.waiting()[0];
    expect(first).toMatchObject({ port: 6970, destination: { address: '100.64.0.1', port: 6969 }, kind: 'reply' });
    expect(await told((done) => outbox.remove(first?.seq ?? 0, done))).toBeUndefined();
    await database.close();

    const again = await openOutbox(await openTestDatabase(folder), clock);
    expect(again.size).toEqual({ entries: 2, bytes: 2 });
    again.push(message('d'));
    expect(drain(again)).toEqual(['b', 'c', 'd']);
    expect(again.size).toEqual({ entries: 0, bytes: 0 });
  });

  it('counts what it drops, and does not find it again after a restart', async () => {
    const folder = temporaryFolder();
    const database = await openTestDatabase(folder);
    const outbox = await openOutbox(database, clock, LIMITS);
    for (const text of ['1', '2', '3']) outbox.push(message(text));
    outbox.push(message('event', 'event'));
    outbox.push(message('4'));
    outbox.push(message('late event', 'event'));
    outbox.push(message('x'.repeat(101)));
    outbox.push(message('y'.repeat(99)));
    expect(outbox.drops).toEqual({ count: 3, bytes: 3, expired: 0 });
    expect(outbox.size).toEqual({ entries: 2, bytes: 100 });
    await database.close();
    expect(drain(await openOutbox(await openTestDatabase(folder), clock))).toEqual(['4', 'y'.repeat(99)]);
  });

  it.each<[string, Partial<Moment>, string[]]>([
    ['not before its time', { monotonic: 999 }, ['a']],
    ['at its time', { monotonic: 1000 }, []],
    ['not by a clock that jumps ahead', { wall: 9e9 }, ['a']],
    ['by its time, though the clock went back', { wall: -9e9, monotonic: 1000 }, []],
    ['by the wall clock over a boot', { wall: 1000, monotonic: -49_990, boot: 'second' }, []],
    ['not by the wall clock that went back over a boot', { wall: -9e9, monotonic: -49_990, boot: 'second' }, ['a']],
    ['by the time since the boot', { wall: -9e9, monotonic: -49_000, boot: 'second' }, []],
  ])('lets an entry expire %s', async (_, jump, left) => {
    const time = standingClock();
    const outbox = await openOutbox(await openTestDatabase(temporaryFolder()), time.clock);
    outbox.push(message('a'));
    const { wall, monotonic } = time.clock();
    time.set({ ...jump, wall: wall + (jump.wall ?? 0), monotonic: monotonic + (jump.monotonic ?? 0) });
    expect(outbox.waiting()[0]?.bytes.toString()).toBe(left[0]);
    expect(outbox.drops.expired).toBe(1 - left.length);
  });

  it('keeps no more memory for an entry than that has bytes', async () => {
    const outbox = await openOutbox(await openTestDatabase(undefined), clock);
    outbox.push(message('a reply from a pool'));
    expect(outbox.waiting().map(({ bytes }) => bytes.buffer.byteLength)).toEqual(['a reply from a pool'.length]);
  });

  it('takes nothing that has expired already', async () => {
    const outbox = await openOutbox(await openTestDatabase(undefined), clock);
    outbox.push(message('old', 'reply', clock().wall));
    expect([outbox.size.entries, outbox.drops.expired]).toEqual([0, 1]);
  });

  it('takes what comes before the disk answers; then what had waited before comes first, within the bounds', async () => {
    const folder = temporaryFolder();
    const before = await openTestDatabase(folder);
    const previous = await openOutbox(before, clock);
    for (const text of ['a', 'b', 'c']) previous.push(message(text));
    await before.close();

    const { answer } = unansweringFolder(folder);
    const database = await openTestDatabase(folder, undefined, { startMs: 10 });
    const outbox = await openOutbox(database, clock, LIMITS);
    const loaded = new Promise<void>((resolve) => outbox.onLoaded(resolve));
    const pushed = ['d', 'e', 'f'].map((text) => told((done) => outbox.push(message(text), done)));
    outbox.remove(outbox.waiting()[0]?.seq ?? 0);
    expect(textsIn(outbox)).toEqual(['e', 'f']);
    await answer();
    await loaded;
    expect(textsIn(outbox)).toEqual(['b', 'c', 'e', 'f']);
    expect([outbox.size, outbox.drops.count]).toEqual([{ entries: 4, bytes: 4 }, 1]);
    expect(await Promise.all(pushed)).toEqual([undefined, undefined, undefined]);
    await database.close();
    expect(drain(await openOutbox(await openTestDatabase(folder), clock))).toEqual(['b', 'c', 'e', 'f']);
  });
});
