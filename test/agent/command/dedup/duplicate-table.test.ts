import { describe, expect, it } from 'vitest';
import {
  createDuplicateTable,
  MAX_EVICTABLE,
  MAX_REMEMBERED,
  MAX_REMEMBERED_BYTES,
} from '../../../../agent/command/dedup/duplicate-table.js';

const LATER = 1000;

describe('a command that has come', () => {
  it('is found by its key until its time is over, which begins when it has ended', () => {
    const seen = createDuplicateTable();
    const entry = seen.begin('a', false, LATER, 0);
    expect(seen.find('a', LATER - 1)).toBe(entry);
    expect(seen.find('b', 0)).toBeUndefined();
    if (entry === undefined) expect.unreachable();
    seen.finish(entry, Buffer.from('x'), 500);
    expect(seen.find('a', LATER + 499)).toMatchObject({ running: false, reply: Buffer.from('x') });
    expect(seen.find('a', LATER + 500)).toBeUndefined();
  });

  it('is known while it runs, however long that is, and however many come after it', () => {
    const seen = createDuplicateTable();
    const entry = seen.begin('a', false, LATER, 0);
    for (let index = 0; index < 10; index++) seen.begin(`later ${index}`, false, LATER, index * LATER);
    expect(seen.find('a', 100 * LATER)).toBe(entry);
    expect(seen.find('a', 100 * LATER)).toMatchObject({ running: true });
  });

  it('may come without an answer, and has none when it comes again', () => {
    const seen = createDuplicateTable();
    const entry = seen.begin('a', false, LATER, 0);
    if (entry === undefined) expect.unreachable();
    seen.finish(entry, undefined, 0);
    expect(seen.find('a', 1)).toMatchObject({ running: false, reply: undefined });
  });

  it('is forgotten when others come after its time', () => {
    const seen = createDuplicateTable();
    for (let index = 0; index < 100; index++) {
      const entry = seen.begin(String(index), false, LATER, 0);
      if (entry !== undefined) seen.finish(entry, Buffer.alloc(1), 0);
    }
    expect(seen.size).toBe(100);
    seen.begin('new', false, LATER, LATER);
    expect(seen.size).toBe(1);
  });
});

describe('expiry', () => {
  function endedAt(seen: ReturnType<typeof createDuplicateTable>, key: string, now: number, lifetime = LATER): void {
    const entry = seen.begin(key, false, lifetime, now);
    if (entry === undefined) expect.unreachable();
    seen.finish(entry, Buffer.from('reply'), now);
  }

  it('passes a command that runs for hours, and frees the place of those that came after it', () => {
    const seen = createDuplicateTable();
    const slow = seen.begin('slow', false, LATER, 0);
    for (let now = 0; now < 3 * MAX_REMEMBERED; now++) endedAt(seen, `quick ${now}`, now);
    expect(seen.size).toBe(1 + LATER);
    expect(seen.find('slow', 3 * MAX_REMEMBERED)).toBe(slow);
  });

  it('of commands with a short lifetime does not wait for those with a long one', () => {
    const seen = createDuplicateTable();
    endedAt(seen, 'long', 0, 1000 * LATER);
    for (let now = 0; now < 2 * MAX_REMEMBERED; now++) endedAt(seen, `short ${now}`, now);
    expect(seen.size).toBe(1 + LATER);
    expect(seen.find('long', 2 * MAX_REMEMBERED)).toBeDefined();
  });

  it('of bytes passes a running command as well', () => {
    const seen = createDuplicateTable();
    expect(seen.begin('slow', false, LATER, 0)).toBeDefined();
    const key = (index: number) => `${index} `.padEnd(MAX_REMEMBERED_BYTES / 8, 'x');
    for (let index = 0; index < 32; index++) endedAt(seen, key(index), index * LATER);
    expect(seen.size).toBe(2);
  });
});

describe('a table that refuses commands although entries in it have expired', () => {
  /** Time goes backwards after the first: it expires last, and is the first to be looked at. */
  function clogged() {
    const seen = createDuplicateTable();
    for (let index = 0; index < MAX_REMEMBERED; index++) {
      const entry = seen.begin(String(index), false, LATER, 0);
      if (entry !== undefined) seen.finish(entry, undefined, index === 0 ? 1000 * LATER : 0);
    }
    return seen;
  }

  it('is found, and one that refuses for good reason or takes commands is not', () => {
    const table = clogged();
    expect(table.begin('new', false, LATER, 2 * LATER)).toBeUndefined();
    expect(table.isClogged(2 * LATER)).toBe(true);
    expect(table.isClogged(LATER - 1)).toBe(false);

    const busy = createDuplicateTable();
    for (let index = 0; index < MAX_REMEMBERED; index++) busy.begin(String(index), false, LATER, 0);
    expect(busy.begin('new', false, LATER, 2 * LATER)).toBeUndefined();
    expect(busy.isClogged(2 * LATER)).toBe(false);
    expect(createDuplicateTable().isClogged(0)).toBe(false);
  });
});

describe('the bound', () => {
  /** Fills it with commands that have ended. */
  function full(count: number, isDisposable: (index: number) => boolean, reply = Buffer.alloc(0)) {
    const seen = createDuplicateTable();
    for (let index = 0; index < count; index++) {
      const entry = seen.begin(String(index), isDisposable(index), LATER, 0);
      if (entry !== undefined) seen.finish(entry, reply, 0);
    }
    return seen;
  }

  it('of commands refuses the next, and forgets none that must not run twice', () => {
    const seen = full(MAX_REMEMBERED, () => false);
    expect(seen.begin('new', false, LATER, 1)).toBeUndefined();
    expect(seen.begin('new', true, LATER, 1)).toBeUndefined();
    expect(seen.size).toBe(MAX_REMEMBERED);
    expect(seen.find('0', 1)).toBeDefined();
  });

  it('of commands gives the place of the oldest that may run twice, and of no other', () => {
    const seen = full(MAX_REMEMBERED, (index) => index === 5 || index === 9);
    expect(seen.begin('first', false, LATER, 1)).toBeDefined();
    expect([seen.find('5', 1), seen.find('9', 1)]).toEqual([undefined, expect.anything()]);
    expect(seen.begin('second', false, LATER, 1)).toBeDefined();
    expect(seen.find('9', 1)).toBeUndefined();
    expect(seen.begin('third', false, LATER, 1)).toBeUndefined();
    expect(seen.size).toBe(MAX_REMEMBERED);
  });

  it('of bytes holds as well, and is free again after their time', () => {
    const count = MAX_REMEMBERED_BYTES / 1024;
    const seen = full(count, () => false, Buffer.alloc(1024));
    expect(seen.begin('new', false, LATER, 1)).toBeUndefined();
    expect(seen.begin('new', false, LATER, LATER)).toBeDefined();
  });

  it('of bytes is not used up by answers to what has been forgotten already', () => {
    const seen = createDuplicateTable();
    const slow = Array.from({ length: MAX_EVICTABLE }, (_, index) => seen.begin(String(index), true, LATER, 0));
    for (let index = 0; index < MAX_EVICTABLE; index++) seen.begin(`other ${index}`, true, LATER, 0);
    expect(slow).not.toContain(undefined);
    for (const entry of slow) {
      // Were they counted, they would fill all of it.
      if (entry !== undefined) seen.finish(entry, Buffer.alloc(MAX_REMEMBERED_BYTES / MAX_EVICTABLE), 0);
    }
    expect(seen.begin('must not run twice', false, LATER, 1)).toBeDefined();
    expect(seen.size).toBe(MAX_EVICTABLE + 1);
  });

  it('leaves nothing behind of commands that are forgotten at once, while one before them is still remembered', () => {
    const seen = createDuplicateTable();
    expect(seen.begin('stays', false, LATER, 0)).toBeDefined();
    const heap = process.memoryUsage().heapUsed;
    for (let index = 0; index < 200_000; index++) {
      const entry = seen.begin(`${index} `.padEnd(1000, String(index)), false, LATER, 0);
      if (entry === undefined) expect.unreachable();
      seen.forget(entry);
    }
    // All of their keys would be 200 MB.
    expect(process.memoryUsage().heapUsed - heap).toBeLessThan(100_000_000);
    expect(seen.size).toBe(1);
  });

  it('takes the same command anew in its own place when its time is over', () => {
    const seen = full(3, () => false, Buffer.alloc(10));
    const again = seen.begin('1', false, LATER, LATER);
    expect(again).toMatchObject({ running: true, reply: undefined });
    expect(seen.size).toBe(1);
  });
});
