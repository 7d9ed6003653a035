import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { acceptedEntry, type JournalOutcome, writeProgress } from '../../../../agent/command/journal/entry.js';
import { createJournal } from '../../../../agent/command/journal/journal.js';
import { insertRow } from '../../../../agent/command/journal/rows.js';
import type { Journal } from '../../../../agent/command/journal/types.js';
import type { Database } from '../../../../agent/storage/database.js';
import { temporaryFolder } from '../../../support/files.js';
import {
  command,
  keyOf,
  openTestDatabase,
  openTestJournal,
  REPLY,
  standingClock,
  tellNothing,
  told,
} from './support.js';

const LIMITS = { keepMs: 5000, entries: 10, bytes: 1e6 };
const accept = (journal: Journal, id: number, change = {}) =>
  told((done) => void journal.accept(command(id, change), done));
const start = (journal: Journal, id: number) => told((done) => journal.start(keyOf(id), done));
const finish = (journal: Journal, id: number, outcome: JournalOutcome = 'done') =>
  told((done) => journal.finish(keyOf(id), { outcome, reply: REPLY }, done));

const purge = (journal: Journal) =>
  new Promise((resolve) => journal.purge((error, purged) => resolve({ error, purged })));

/** A command's whole life, in one commit. */
const live = (journal: Journal, id: number, change = {}) =>
  Promise.all([accept(journal, id, change), start(journal, id), finish(journal, id)]);

describe('a command', () => {
  it('goes from accepted to started to done, and gives its reply to repeats', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock);
    expect(journal.find(keyOf(1))).toBeUndefined();
    expect(await accept(journal, 1)).toBeUndefined();
    expect(journal.find(keyOf(1))).toMatchObject({ seq: 1, state: 'accepted', runs: 0, command: command(1) });
    pass(5);
    expect(await start(journal, 1)).toBeUndefined();
    expect(journal.find(keyOf(1))).toMatchObject({ state: 'started', runs: 1, started: clock() });
    pass(5);
    expect(await finish(journal, 1)).toBeUndefined();
    const repeat = journal.accept(command(1), () => expect.unreachable());
    expect(repeat).toMatchObject({ state: 'done', outcome: 'done', reply: REPLY, finished: clock(), runs: 1 });
  });

  it.each([
    ['done', 'done'],
    ['failed', 'done'],
    ['interrupted', 'interrupted'],
    ['refused', 'refused'],
  ] as const)('with the outcome %s ends as %s', async (outcome, state) => {
    const { database, journal } = await openTestJournal(temporaryFolder());
    await accept(journal, 1);
    await told((done) => journal.finish(keyOf(1), { outcome, code: 'busy' }, done));
    database.flush();
    expect(journal.get(1)).toMatchObject({ outcome, state, code: 'busy', reply: null });
  });

  it('is a repeat before its commit too', async () => {
    const { journal } = await openTestJournal(temporaryFolder());
    const first = accept(journal, 1);
    expect(journal.accept(command(1), () => expect.unreachable())).toMatchObject({ state: 'accepted' });
    expect(await first).toBeUndefined();
  });

  it('cannot start or end once it has ended', async () => {
    const { journal } = await openTestJournal(temporaryFolder());
    await live(journal, 1);
    expect(await start(journal, 1)).toMatchObject({ code: 'busy' });
    expect(await finish(journal, 1, 'failed')).toMatchObject({ code: 'busy' });
    expect(await start(journal, 2)).toMatchObject({ code: 'busy' });
    expect(journal.get(1)).toMatchObject({ outcome: 'done' });
  });

  it('can be cancelled while it waits', async () => {
    const { journal } = await openTestJournal(temporaryFolder());
    await accept(journal, 1);
    await accept(journal, 2);
    await start(journal, 2);
    expect(journal.cancel(1, { code: 'cancelled', reply: REPLY })).toBe(true);
    expect([journal.cancel(1, {}), journal.cancel(2, {}), journal.cancel(99, {})]).toEqual([false, false, false]);
    expect(await start(journal, 1)).toMatchObject({ code: 'busy' });
    expect(journal.get(1)).toMatchObject({ state: 'refused', code: 'cancelled', runs: 0, reply: REPLY });
    expect(journal.list({ limit: 10 }).map(({ seq, state }) => [seq, state])).toEqual([
      [2, 'started'],
      [1, 'refused'],
    ]);
    expect(journal.list({ limit: 1 })).toHaveLength(1);
  });

  it('that is new is nearly never looked for on the disk, one that is old always', async () => {
    const folder = temporaryFolder();
    const before = await openTestJournal(folder);
    for (let id = 0; id < 100; id++) await live(before.journal, id);
    before.database.close();
    const database = await openTestDatabase(folder);
    const read = vi.spyOn(database, 'read');
    const journal = createJournal(database, standingClock().clock);
    journal.recover(tellNothing);
    read.mockClear();
    for (let id = 100; id < 1100; id++) expect(journal.find(keyOf(id))).toBeUndefined();
    expect(read.mock.calls.length).toBeLessThan(20);
    for (let id = 0; id < 100; id++) expect(journal.find(keyOf(id))).toMatchObject({ state: 'done' });
  });

  it('is found after ever so many others have come and gone', async () => {
    const { clock, pass } = standingClock();
    const { database, journal } = await openTestJournal(temporaryFolder(), clock, LIMITS);
    await accept(journal, 0);
    for (let id = 1; id < 20 * LIMITS.entries; id++) {
      pass(500);
      await live(journal, id);
      if (id % LIMITS.entries === 0) journal.maintain();
      for (const known of [0, id - 1, id]) expect(journal.find(keyOf(known)), `${known} after ${id}`).toBeDefined();
    }
    const read = vi.spyOn(database, 'read');
    for (let id = 10_000; id < 10_100; id++) expect(journal.find(keyOf(id))).toBeUndefined();
    expect(read.mock.calls.length).toBeLessThan(30);
  });

  it('that comes while the journal is maintained is known', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, LIMITS);
    for (let id = 0; id < LIMITS.entries; id++) await live(journal, id);
    pass(1000);
    let newest = 300;
    const acceptNext = () => void (newest < 308 && journal.accept(command(++newest), acceptNext));
    acceptNext();
    journal.maintain();
    expect(newest).toBeGreaterThan(301);
    for (let id = 301; id <= newest; id++) await finish(journal, id);
    for (let id = 301; id <= newest; id++) expect(journal.find(keyOf(id))).toMatchObject({ state: 'done' });
  });

  it('is refused until recovery has been', async () => {
    const journal = createJournal(await openTestDatabase(temporaryFolder()), standingClock().clock);
    expect(await accept(journal, 1)).toMatchObject({ code: 'busy' });
  });
});

describe('a commit that fails', () => {
  /** Makes the commit of this turn fail. */
  const spoil = (database: Database) =>
    database.write(
      (connection) => void connection.run('INSERT INTO nowhere VALUES (1)'),
      () => undefined,
    );

  it('leaves each command in the state that it had, but an end stays an end', async () => {
    const folder = temporaryFolder();
    const { database, journal } = await openTestJournal(folder);
    spoil(database);
    expect(await accept(journal, 1)).toMatchObject({ code: 'busy' });
    expect(journal.find(keyOf(1))).toBeUndefined();
    expect(journal.size).toEqual({ entries: 0, bytes: 0, live: 0 });
    expect(await accept(journal, 1)).toBeUndefined();
    spoil(database);
    expect(await start(journal, 1)).toMatchObject({ code: 'busy' });
    expect(journal.find(keyOf(1))).toMatchObject({ state: 'accepted', runs: 0 });
    expect(await start(journal, 1)).toBeUndefined();
    spoil(database);
    expect(await finish(journal, 1)).toMatchObject({ code: 'busy' });
    expect(journal.find(keyOf(1))).toMatchObject({ state: 'done', reply: REPLY });
    journal.maintain();
    database.close();
    const after = await openTestJournal(folder);
    expect(after.journal.find(keyOf(1))).toMatchObject({ state: 'done', reply: REPLY });
  });

  it('forgets nothing of what was to be purged', async () => {
    const { database, journal } = await openTestJournal(temporaryFolder());
    await live(journal, 1);
    const { size } = journal;
    const purged = purge(journal);
    spoil(database);
    expect(await purged).toEqual({ error: expect.objectContaining({ code: 'busy' }), purged: 0 });
    expect(journal.size).toEqual(size);
    expect(journal.find(keyOf(1))).toMatchObject({ state: 'done' });
  });

  it('but has reached the disk all the same does not run a refused command after a restart', async () => {
    const folder = temporaryFolder();
    const { clock } = standingClock();
    const { database, journal } = await openTestJournal(folder, clock);
    await accept(journal, 1);
    spoil(database);
    await accept(journal, 2);
    const entry = acceptedEntry(command(2), 2, clock());
    await told((done) => database.write((c) => void insertRow(c, entry, writeProgress(entry)), done));
    journal.maintain();
    database.close();
    const again = createJournal(await openTestDatabase(folder), clock).recover(tellNothing);
    expect(again.run.map(({ command: { id } }) => id)).toEqual([1]);
  });
});

describe('recovery', () => {
  it('ends and runs what the last agent left, once, and remembers the rest', async () => {
    const folder = temporaryFolder();
    const { clock, pass } = standingClock();
    const before = await openTestJournal(folder, clock);
    await accept(before.journal, 1, { deadline: clock().wall + 10_000 });
    await accept(before.journal, 2);
    await Promise.all([accept(before.journal, 3), start(before.journal, 3)]);
    await Promise.all([accept(before.journal, 4, { idempotent: true }), start(before.journal, 4)]);
    await live(before.journal, 5);
    const size = before.journal.size;
    before.database.close();
    pass(20_000);

    const database = await openTestDatabase(folder);
    const journal = createJournal(database, clock);
    const recovered = journal.recover(({ command: { id } }, outcome) => ({
      code: outcome,
      reply: Buffer.from(`${id} ${outcome}`),
    }));
    expect(recovered.run.map(({ command: { id } }) => id)).toEqual([2, 4]);
    expect(recovered.ended.map(({ command: { id }, state }) => [id, state])).toEqual([
      [1, 'refused'],
      [3, 'interrupted'],
    ]);
    expect(journal.find(keyOf(3))).toMatchObject({ reply: Buffer.from('3 interrupted'), code: 'interrupted' });
    expect(journal.find(keyOf(5))).toMatchObject({ state: 'done', reply: REPLY });
    expect(journal.size.entries).toBe(size.entries);
    expect(journal.recover(tellNothing)).toEqual({ run: [], ended: [] });
    await start(journal, 4);
    await accept(journal, 6);
    expect(journal.find(keyOf(6))).toMatchObject({ seq: 6 });
    database.close();

    const again = createJournal(await openTestDatabase(folder), clock).recover(tellNothing);
    expect(again.run.map(({ command: { id } }) => id)).toEqual([2, 6]);
    expect(again.ended.map(({ command: { id }, state, runs }) => [id, state, runs])).toEqual([[4, 'interrupted', 2]]);
  });
});

describe('at the bound', () => {
  it('commands are refused as busy rather than that one is evicted of which repeats may come', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, LIMITS);
    await accept(journal, 0);
    for (let id = 1; id < LIMITS.entries; id++) await live(journal, id);
    expect(await accept(journal, 100)).toMatchObject({ code: 'busy' });
    expect(journal.find(keyOf(1))).toMatchObject({ state: 'done' });
    pass(1000);
    expect(await accept(journal, 100)).toBeUndefined();
    expect(journal.find(keyOf(0))).toMatchObject({ state: 'accepted' });
    expect(journal.find(keyOf(1))).toBeUndefined();
    expect(journal.size).toMatchObject({ entries: 2, live: 2 });
  });

  it.each([
    ['ahead', { wall: 9e12 }],
    ['back', { wall: 0 }],
    ['ahead, in another boot', { wall: 9e12, monotonic: 10, boot: 'second' }],
    ['back, in another boot', { wall: 0, monotonic: 10, boot: 'second' }],
  ])('a clock that jumps %s evicts nothing', async (_, jump) => {
    const { clock, set, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, LIMITS);
    for (let id = 0; id < LIMITS.entries; id++) await live(journal, id);
    set(jump);
    expect(await accept(journal, 100)).toMatchObject({ code: 'busy' });
    journal.maintain();
    for (let id = 0; id < LIMITS.entries; id++) expect(journal.find(keyOf(id))).toMatchObject({ state: 'done' });
    pass(2000);
    expect(await accept(journal, 101)).toBeUndefined();
  });

  it('bytes count as well, with what a command may still grow by', async () => {
    const { journal } = await openTestJournal(temporaryFolder(), standingClock().clock, { ...LIMITS, bytes: 12_000 });
    const results = [];
    for (let id = 0; id < 5; id++) results.push((await accept(journal, id, { request: Buffer.alloc(1300) }))?.code);
    expect(results).toEqual([undefined, undefined, 'busy', 'busy', 'busy']);
    expect(journal.size.bytes).toBeLessThanOrEqual(12_000);
  });

  it('10,000 commands and more stay within the bytes', async () => {
    const folder = temporaryFolder();
    const { clock, pass } = standingClock();
    const limits = { keepMs: 0, entries: 10_000, bytes: 3_000_000 };
    const { database, journal } = await openTestJournal(folder, clock, limits);
    for (let id = 0; id < 12_000; id += 100) {
      pass(100);
      const group = Array.from({ length: 100 }, (_, index) => live(journal, id + index, { lifetimeMs: 0 }));
      expect((await Promise.all(group)).flat().filter((error) => error !== undefined)).toEqual([]);
      expect(journal.size.bytes).toBeLessThanOrEqual(limits.bytes);
    }
    const { size } = journal;
    database.read((c) => c.get('PRAGMA wal_checkpoint(TRUNCATE)'));
    expect(statSync(join(folder, 'journal.db')).size).toBeLessThan(2 * limits.bytes);
    database.close();
    const after = await openTestJournal(folder, clock, limits);
    expect(after.journal.size).toEqual(size);
  }, 60_000);
});

describe('what has ended', () => {
  it('is kept for as long as is wished, and then forgotten', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, { ...LIMITS, entries: 1000 });
    for (let id = 0; id < 200; id++) await Promise.all([live(journal, id), live(journal, ++id)]);
    await accept(journal, 500);
    pass(LIMITS.keepMs - 1);
    journal.maintain();
    expect(journal.size.entries).toBe(201);
    pass(1);
    expect(journal.find(keyOf(3))).toBeUndefined();
    expect(await accept(journal, 3)).toBeUndefined();
    journal.maintain();
    expect(journal.size).toMatchObject({ entries: 2, live: 2 });
  });

  it('is kept for the lifetime of its peer when that is longer', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, LIMITS);
    await live(journal, 1, { lifetimeMs: 9000 });
    pass(8999);
    journal.maintain();
    expect(journal.find(keyOf(1))).toMatchObject({ state: 'done' });
    pass(1);
    journal.maintain();
    expect(journal.size.entries).toBe(0);
  });

  it('can be purged; what runs stays', async () => {
    const { journal } = await openTestJournal(temporaryFolder());
    await live(journal, 1);
    await accept(journal, 2);
    expect(await purge(journal)).toEqual({ error: undefined, purged: 1 });
    expect(journal.list({ limit: 10 }).map(({ seq }) => seq)).toEqual([2]);
    await finish(journal, 2);
    const { bytes } = journal.size;
    expect(journal.size).toEqual({ entries: 1, bytes, live: 0 });
    expect(await purge(journal)).toEqual({ error: undefined, purged: 1 });
    expect(journal.size).toEqual({ entries: 0, bytes: 0, live: 0 });
    expect(await purge(journal)).toEqual({ error: undefined, purged: 0 });
  });
});
