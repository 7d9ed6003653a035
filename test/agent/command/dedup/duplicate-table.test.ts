import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import {
  createDuplicateTable,
  type DuplicateTable,
  ENTRY_BYTES,
  MAX_EVICTABLE,
  MAX_REMEMBERED,
  MAX_REMEMBERED_BYTES,
} from '../../../../agent/command/dedup/duplicate-table.js';
import { datagramKey, type SeenRequest, textOf } from '../../../../agent/command/dedup/entry.js';
import { MAX_PAYLOAD_BYTES } from '../../../../shared/limits.js';

const LATER = 1000;
/** What one holder may keep while nobody else holds anything: commands, or bytes. */
const ONE_SHARE = (MAX_REMEMBERED / 4) * 3;
const ONE_SHARE_BYTES = (MAX_REMEMBERED_BYTES / 4) * 3;

/** Keeps a request that begins; undefined when there is no room. */
function keep(table: DuplicateTable, key: string, now = 0, lifetime = LATER, holder = 'one'): SeenRequest | undefined {
  const seen = table.begin(key, lifetime, now);
  if (table.keep(seen, holder, now)) return seen;
  table.forget(seen);
  return undefined;
}

function keepEnded(table: DuplicateTable, key: string, now = 0, lifetime = LATER, reply = Buffer.from('reply')): void {
  const seen = keep(table, key, now, lifetime);
  if (seen === undefined) expect.unreachable();
  table.finish(seen, reply, now);
}

describe('a command that has come', () => {
  it('is found by its key until its time is over, which begins when it has ended', () => {
    const seen = createDuplicateTable();
    const entry = keep(seen, 'a');
    expect(seen.find('a', LATER - 1)).toBe(entry);
    expect(seen.find('b', 0)).toBeUndefined();
    if (entry === undefined) expect.unreachable();
    seen.finish(entry, Buffer.from('x'), 500);
    expect(seen.find('a', LATER + 499)).toMatchObject({ running: false, reply: Buffer.from('x') });
    expect(seen.find('a', LATER + 500)).toBeUndefined();
  });

  it('is known while it runs, however long that is, and however many come after it', () => {
    const seen = createDuplicateTable();
    const entry = keep(seen, 'a');
    for (let index = 0; index < 10; index++) keep(seen, `later ${index}`, index * LATER);
    expect(seen.find('a', 100 * LATER)).toBe(entry);
    expect(seen.find('a', 100 * LATER)).toMatchObject({ running: true });
  });

  it('may come without an answer, and has none when it comes again', () => {
    const seen = createDuplicateTable();
    const entry = keep(seen, 'a');
    if (entry === undefined) expect.unreachable();
    seen.finish(entry, undefined, 0);
    expect(seen.find('a', 1)).toMatchObject({ running: false, reply: undefined });
  });

  it('is forgotten when others come after its time', () => {
    const seen = createDuplicateTable();
    for (let index = 0; index < 100; index++) {
      keepEnded(seen, String(index));
    }
    expect(seen.size).toBe(100);
    keep(seen, 'new', LATER);
    expect(seen.size).toBe(1);
  });
});

describe('expiry', () => {
  it('passes a command that runs for hours, and frees the place of those that came after it', () => {
    const seen = createDuplicateTable();
    const slow = keep(seen, 'slow');
    for (let now = 0; now < 3 * MAX_REMEMBERED; now++) keepEnded(seen, `quick ${now}`, now);
    expect(seen.size).toBe(1 + LATER);
    expect(seen.find('slow', 3 * MAX_REMEMBERED)).toBe(slow);
  });

  it('of commands with a short lifetime does not wait for those with a long one', () => {
    const seen = createDuplicateTable();
    keepEnded(seen, 'long', 0, 1000 * LATER);
    for (let now = 0; now < 2 * MAX_REMEMBERED; now++) keepEnded(seen, `short ${now}`, now);
    expect(seen.size).toBe(1 + LATER);
    expect(seen.find('long', 2 * MAX_REMEMBERED)).toBeDefined();
  });

  it('of bytes passes a running command as well', () => {
    const seen = createDuplicateTable();
    expect(keep(seen, 'slow')).toBeDefined();
    const key = (index: number) => `${index} `.padEnd(MAX_REMEMBERED_BYTES / 8, 'x');
    for (let index = 0; index < 32; index++) keepEnded(seen, key(index), index * LATER);
    expect(seen.size).toBe(2);
  });
});

describe('a table that refuses commands although entries in it have expired', () => {
  it('is found, and one that refuses for good reason or takes commands is not', () => {
    const clogged = createDuplicateTable();
    // Time goes backwards after the first: it expires last, and is the first to be looked at.
    for (let seen = keep(clogged, 'first'); seen !== undefined; seen = keep(clogged, String(clogged.size))) {
      clogged.finish(seen, undefined, seen.key === 'first' ? 1000 * LATER : 0);
    }
    expect(keep(clogged, 'new', 2 * LATER)).toBeUndefined();
    expect(clogged.isClogged(2 * LATER)).toBe(true);
    expect(clogged.isClogged(LATER - 1)).toBe(false);

    const busy = createDuplicateTable();
    while (keep(busy, String(busy.size)) !== undefined);
    expect(busy.isClogged(2 * LATER)).toBe(false);
    expect(createDuplicateTable().isClogged(0)).toBe(false);
  });
});

describe('the bound', () => {
  it('of commands refuses the next, and forgets none that must not run twice', () => {
    const table = createDuplicateTable();
    let count = 0;
    for (let seen = keep(table, '0'); seen !== undefined; seen = keep(table, String(++count))) {
      table.finish(seen, undefined, 0);
    }
    expect(count).toBeGreaterThan(ONE_SHARE * 0.9);
    expect(count).toBeLessThanOrEqual(ONE_SHARE);
    expect(keep(table, 'new', 1)).toBeUndefined();
    expect(table.find('0', 1)).toBeDefined();
    expect(keep(table, 'new', LATER)).toBeDefined();
  });

  it('of bytes holds as well, and is free again after their time', () => {
    const table = createDuplicateTable();
    const reply = Buffer.alloc(1024);
    let count = 0;
    for (let seen = keep(table, 'first'); seen !== undefined; seen = keep(table, String(count++)))
      table.finish(seen, reply, 0);
    expect(count).toBeLessThan(ONE_SHARE / 2);
    expect(Math.abs(table.bytes - ONE_SHARE_BYTES)).toBeLessThan(4096);
    expect(keep(table, 'new', 1)).toBeUndefined();
    expect(keep(table, 'new', LATER)).toBeDefined();
  });

  it('of bytes counts room for the reply of a command that runs', () => {
    const table = createDuplicateTable();
    const seen = keep(table, 'a');
    expect(table.bytes).toBe(ENTRY_BYTES + 1 + MAX_PAYLOAD_BYTES);
    if (seen !== undefined) table.finish(seen, Buffer.alloc(10), 0);
    expect(table.bytes).toBe(ENTRY_BYTES + 1 + 10);
  });

  it('is not reached by commands that may run twice, however many they are', () => {
    const table = createDuplicateTable();
    for (let index = 0; index < 2 * MAX_REMEMBERED; index++) {
      table.finish(table.begin(String(index), LATER, 0), Buffer.alloc(MAX_PAYLOAD_BYTES), 0);
    }
    expect(table.size).toBe(MAX_EVICTABLE);
    expect(table.bytes).toBe(0);
    expect(keep(table, 'must not run twice', 1)).toBeDefined();
  });

  it('takes no place from commands that may run twice', () => {
    const table = createDuplicateTable();
    table.finish(table.begin('may run twice', LATER, 0), Buffer.from('x'), 0);
    for (let index = 0; keep(table, String(index)) !== undefined; index++);
    expect(table.size).toBeGreaterThan(2 * MAX_EVICTABLE);
    expect(table.find('may run twice', 1)?.reply).toEqual(Buffer.from('x'));
  });

  it('leaves nothing behind of commands that are forgotten at once, while one before them is still remembered', () => {
    const table = createDuplicateTable();
    expect(keep(table, 'stays')).toBeDefined();
    const heap = process.memoryUsage().heapUsed;
    for (let index = 0; index < 200_000; index++) {
      const seen = keep(table, `${index} `.padEnd(1000, String(index)));
      if (seen === undefined) expect.unreachable();
      table.forget(seen);
    }
    // All of their keys would be 200 MB.
    expect(process.memoryUsage().heapUsed - heap).toBeLessThan(100_000_000);
    expect(table.bytes).toBe(ENTRY_BYTES + 'stays'.length + MAX_PAYLOAD_BYTES);
  });

  it('takes the same command anew in its own place when its time is over', () => {
    const table = createDuplicateTable();
    for (const key of ['0', '1', '2']) keepEnded(table, key);
    expect(keep(table, '1', LATER)).toMatchObject({ running: true, reply: undefined });
    expect(table.bytes).toBe(ENTRY_BYTES + 1 + MAX_PAYLOAD_BYTES);
  });
});

describe('a holder', () => {
  /** Keeps as many commands as there is room for. */
  function fill(table: DuplicateTable, holder: string): SeenRequest[] {
    const all: SeenRequest[] = [];
    const next = () => keep(table, `${holder} ${number++}`, 0, LATER, holder);
    for (let seen = next(); seen !== undefined; seen = next()) all.push(seen);
    return all;
  }
  let number = 0;

  it('leaves a quarter of the table to those that hold less than a quarter', () => {
    const table = createDuplicateTable();
    const greedy = fill(table, 'greedy');
    expect(Math.abs(table.bytes - ONE_SHARE_BYTES)).toBeLessThan(4096);
    expect(fill(table, 'other').length).toBeGreaterThan(greedy.length / 8);
    expect(fill(table, 'greedy')).toEqual([]);
  });

  it('that holds nothing finds room although several others take all they can get', () => {
    const table = createDuplicateTable();
    for (let round = 0; round < 2; round++) for (let other = 0; other < 5; other++) fill(table, `other ${other}`);
    expect(fill(table, 'owner').length).toBeGreaterThan(20);
  });

  it('gets its share back when its commands are forgotten or expire', () => {
    const table = createDuplicateTable();
    const all = fill(table, 'one');
    expect(fill(table, 'one')).toEqual([]);
    for (const [index, seen] of all.entries()) {
      if (index % 2 === 0) table.forget(seen);
      else table.finish(seen, undefined, 0);
    }
    const after = keep(table, 'after their time', LATER);
    expect(table.bytes).toBe(ENTRY_BYTES + 'after their time'.length + MAX_PAYLOAD_BYTES);
    if (after !== undefined) table.forget(after);
    expect(fill(table, 'one').length).toBeGreaterThan(all.length * 0.99);
  });
});

describe('the memory', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage: () => void = runInNewContext('gc');

  /** The memory of array buffers is freed by another thread. */
  async function memory(): Promise<NodeJS.MemoryUsage> {
    for (let times = 0; times < 5; times++) {
      collectGarbage();
      await nextTurn();
    }
    return process.memoryUsage();
  }

  /** They all stay, so that the memory of none is freed while that of the next is measured. */
  const tables: DuplicateTable[] = [];

  it.each([
    [40, 1000],
    [1300, 20],
    [1300, 1300],
  ])('of commands of %d bytes with replies of %d is what the table counts', async (requestBytes, replyBytes) => {
    const table = createDuplicateTable();
    tables.push(table);
    const before = await memory();
    let count = 0;
    for (let number = 0; number < MAX_REMEMBERED; number++) {
      const host = `192.0.2.${number % 10}`;
      const text = textOf(datagramKey(`${host}:5683`, Buffer.from(`${number} `.padEnd(requestBytes, 'x'))));
      const seen = keep(table, text, 0, LATER, host);
      if (seen === undefined) continue;
      // A Buffer as the encoders make it: a part of Node's pool, which has other parts.
      Buffer.from('z'.repeat(4000));
      table.finish(seen, Buffer.from('y'.repeat(replyBytes)), 0);
      count++;
    }
    const after = await memory();
    const arrayBuffers = after.arrayBuffers - before.arrayBuffers;
    const inAll = arrayBuffers + after.heapUsed - before.heapUsed;
    expect(table.bytes).toBeGreaterThan(MAX_REMEMBERED_BYTES * 0.85);
    expect(Math.abs(inAll / table.bytes - 1)).toBeLessThan(0.2);
    expect(arrayBuffers).toBeLessThan(count * replyBytes * 1.2);
  });
});
