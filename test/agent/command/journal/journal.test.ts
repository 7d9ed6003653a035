import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { acceptedEntry } from '../../../../agent/command/journal/entry.js';
import { createJournal } from '../../../../agent/command/journal/journal.js';
import { insertRow } from '../../../../agent/command/journal/rows.js';
import type { Journal } from '../../../../agent/command/journal/types.js';
import type { Database } from '../../../../agent/storage/database.js';
import { temporaryFolder } from '../../../support/files.js';
import { asAfterKill } from '../wired-support.js';
import {
  accept,
  command,
  ENDED,
  entryOf,
  findIn,
  finish,
  keyOf,
  live,
  openTestDatabase,
  openTestJournal,
  REPLY,
  RUNNING,
  standingClock,
  start,
  tellNothing,
  told,
} from './support.js';

const LIMITS = { keepMs: 5000, entries: 10, bytes: 1e6, identities: 1000 };

describe('a command', () => {
  it('goes from accepted to started to done, and gives its reply to repeats', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock);
    expect(await findIn(journal, keyOf(1))).toBeUndefined();
    expect(await accept(journal, 1)).toBeUndefined();
    expect(await findIn(journal, keyOf(1))).toEqual(RUNNING);
    expect(await entryOf(journal, 1)).toMatchObject({ seq: 1, state: 'accepted', runs: 0, command: command(1) });
    pass(5);
    expect(await start(journal, 1)).toBeUndefined();
    expect(await findIn(journal, keyOf(1))).toEqual(RUNNING);
    expect(await entryOf(journal, 1)).toMatchObject({ state: 'started', runs: 1, started: clock() });
    pass(5);
    expect(await finish(journal, 1)).toBeUndefined();
    expect(await findIn(journal, keyOf(1))).toEqual(ENDED);
    expect(await entryOf(journal, 1)).toMatchObject({ state: 'done', outcome: 'done', finished: clock(), runs: 1 });
  });

  it.each([
    ['done', 'done'],
    ['failed', 'done'],
    ['interrupted', 'interrupted'],
    ['refused', 'refused'],
  ] as const)('with the outcome %s ends as %s', async (outcome, state) => {
    const { journal } = await openTestJournal(temporaryFolder());
    await accept(journal, 1);
    await told((done) => journal.finish(keyOf(1), { outcome, code: 'busy' }, done));
    expect(await journal.get(1)).toMatchObject({ outcome, state, code: 'busy', reply: null });
  });

  it('is a repeat before its commit too', async () => {
    const { journal } = await openTestJournal(temporaryFolder());
    const first = accept(journal, 1);
    expect(await findIn(journal, keyOf(1))).toEqual(RUNNING);
    expect(await accept(journal, 1)).toMatchObject({ code: 'busy' });
    expect(await first).toBeUndefined();
  });

  it('cannot start or end once it has ended', async () => {
    const { journal } = await openTestJournal(temporaryFolder());
    await live(journal, 1);
    expect(await start(journal, 1)).toMatchObject({ code: 'busy' });
    expect(await finish(journal, 1, 'failed')).toMatchObject({ code: 'busy' });
    expect(await start(journal, 2)).toMatchObject({ code: 'busy' });
    expect(await journal.get(1)).toMatchObject({ outcome: 'done' });
  });

  it('can be cancelled while it waits', async () => {
    const { journal } = await openTestJournal(temporaryFolder());
    await accept(journal, 1);
    await accept(journal, 2);
    await start(journal, 2);
    expect(journal.cancel(1, { code: 'cancelled', reply: REPLY })).toBe(true);
    expect([journal.cancel(1, {}), journal.cancel(2, {}), journal.cancel(99, {})]).toEqual([false, false, false]);
    expect(await start(journal, 1)).toMatchObject({ code: 'busy' });
    expect(await journal.get(1)).toMatchObject({ state: 'refused', code: 'cancelled', runs: 0, reply: REPLY });
    expect((await journal.list({ limit: 10 })).map(({ seq, state }) => [seq, state])).toEqual([
      [2, 'started'],
      [1, 'refused'],
    ]);
    expect(await journal.list({ limit: 1 })).toHaveLength(1);
  });

  it('that was refused before it was accepted gives its reply to repeats, also after a restart', async () => {
    const folder = temporaryFolder();
    const { database, journal } = await openTestJournal(folder);
    const ending = { outcome: 'refused', code: 'busy', reply: REPLY } as const;
    expect(await told((done) => journal.refuse(command(1), ending, done))).toBeUndefined();
    expect(await findIn(journal, keyOf(1))).toEqual(ENDED);
    expect(await journal.get(1)).toMatchObject({ state: 'refused', code: 'busy', runs: 0 });
    expect((await journal.get(1))?.command.request).toHaveLength(0);
    await database.close();
    const after = await openTestJournal(folder);
    expect(await findIn(after.journal, keyOf(1))).toEqual(ENDED);
  });

  it('that is new is nearly never looked for on the disk, one that is old always', async () => {
    const folder = temporaryFolder();
    const before = await openTestJournal(folder);
    await Promise.all(Array.from({ length: 100 }, (_, id) => live(before.journal, id)));
    await before.database.close();
    const { database, journal } = await openTestJournal(folder);
    const read = vi.spyOn(database, 'read');
    for (let id = 100; id < 1100; id++) expect(await findIn(journal, keyOf(id))).toBeUndefined();
    expect(read.mock.calls.length).toBeLessThan(20);
    for (let id = 0; id < 100; id++) expect(await findIn(journal, keyOf(id))).toEqual(ENDED);
  });

  it('is found after ever so many others have come and gone', async () => {
    const { clock, pass } = standingClock();
    const { database, journal } = await openTestJournal(temporaryFolder(), clock, LIMITS);
    await accept(journal, 0);
    for (let id = 1; id < 20 * LIMITS.entries; id++) {
      pass(500);
      await live(journal, id);
      if (id % LIMITS.entries === 0) journal.maintain();
      for (const known of [0, id - 1, id]) {
        expect(await findIn(journal, keyOf(known)), `${known} after ${id}`).toBeDefined();
      }
    }
    const read = vi.spyOn(database, 'read');
    for (let id = 10_000; id < 10_100; id++) expect(await findIn(journal, keyOf(id))).toBeUndefined();
    expect(read.mock.calls.length).toBeLessThan(30);
  });

  it('that comes while the journal is maintained is known', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, LIMITS);
    for (let id = 0; id < LIMITS.entries; id++) await live(journal, id);
    pass(LIMITS.keepMs);
    const others = [301, 302, 303].map((id) => live(journal, id));
    journal.maintain();
    others.push(...[304, 305, 306].map((id) => live(journal, id)));
    await Promise.all(others);
    for (let id = 301; id <= 306; id++) expect(await findIn(journal, keyOf(id))).toEqual(ENDED);
    expect(await findIn(journal, keyOf(1))).toBeUndefined();
  });

  it('is refused until recovery has been, and it is not known whether it has come before', async () => {
    const journal = createJournal(await openTestDatabase(temporaryFolder()), standingClock().clock);
    expect(await accept(journal, 1)).toMatchObject({ code: 'busy' });
    const found = findIn(journal, keyOf(1));
    await journal.recover(tellNothing);
    expect(await found).toBeUndefined();
    expect(await accept(journal, 1)).toBeUndefined();
  });
});

describe('a commit that fails', () => {
  /** Makes the next commit fail. */
  const spoil = (database: Database) =>
    database.write(
      (run) => run('INSERT INTO nowhere VALUES (1)', []),
      () => undefined,
    );

  it('leaves each command in the state that it had, but an end stays an end', async () => {
    const folder = temporaryFolder();
    const { database, journal } = await openTestJournal(folder);
    spoil(database);
    expect(await accept(journal, 1)).toMatchObject({ code: 'busy' });
    expect(await findIn(journal, keyOf(1))).toBeUndefined();
    expect(journal.size).toEqual({ entries: 0, bytes: 0, live: 0, remembered: 0 });
    expect(await accept(journal, 1)).toBeUndefined();
    spoil(database);
    expect(await start(journal, 1)).toMatchObject({ code: 'busy' });
    expect(await entryOf(journal, 1)).toMatchObject({ state: 'accepted', runs: 0 });
    expect(await start(journal, 1)).toBeUndefined();
    spoil(database);
    expect(await finish(journal, 1)).toMatchObject({ code: 'busy' });
    expect(await findIn(journal, keyOf(1))).toEqual(ENDED);
    journal.maintain();
    await database.close();
    const after = await openTestJournal(folder);
    expect(await findIn(after.journal, keyOf(1))).toEqual(ENDED);
  });

  it('forgets nothing of what was to be purged', async () => {
    const { database, journal } = await openTestJournal(temporaryFolder());
    await live(journal, 1);
    const { size } = journal;
    const purged = journal.purge();
    spoil(database);
    await expect(purged).rejects.toMatchObject({ code: 'busy' });
    expect(journal.size).toEqual(size);
    expect(await findIn(journal, keyOf(1))).toEqual(ENDED);
  });

  it('but has reached the disk all the same does not run a refused command after a restart', async () => {
    const folder = temporaryFolder();
    const { clock } = standingClock();
    const { database, journal } = await openTestJournal(folder, clock);
    await accept(journal, 1);
    spoil(database);
    expect(await accept(journal, 2)).toMatchObject({ code: 'busy' });
    const entry = acceptedEntry(command(2), 2, clock());
    await told((done) => database.write((run) => void insertRow(run, entry, database.nextCount()), done));
    journal.maintain();
    await database.close();
    const again = await createJournal(await openTestDatabase(folder), clock).recover(tellNothing);
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
    await before.database.close();
    pass(20_000);

    const database = await openTestDatabase(folder);
    const journal = createJournal(database, clock);
    const recovered = await journal.recover(({ command: { id } }, outcome) => ({
      code: outcome,
      reply: Buffer.from(`${id} ${outcome}`),
    }));
    expect(recovered.run.map(({ command: { id } }) => id)).toEqual([2, 4]);
    expect(recovered.ended.map(({ command: { id }, state }) => [id, state])).toEqual([
      [1, 'refused'],
      [3, 'interrupted'],
    ]);
    expect(await findIn(journal, keyOf(3))).toEqual({ kind: 'ended', reply: Buffer.from('3 interrupted') });
    expect(await findIn(journal, keyOf(5))).toEqual(ENDED);
    expect(await findIn(journal, keyOf(2))).toEqual(RUNNING);
    expect(journal.size.entries).toBe(size.entries);
    expect(await journal.recover(tellNothing)).toEqual({ run: [], ended: [] });
    await start(journal, 4);
    await accept(journal, 6);
    expect(await entryOf(journal, 6)).toMatchObject({ seq: 6 });
    await database.close();

    const again = await createJournal(await openTestDatabase(folder), clock).recover(tellNothing);
    expect(again.run.map(({ command: { id } }) => id)).toEqual([2, 6]);
    expect(again.ended.map(({ command: { id }, state, runs }) => [id, state, runs])).toEqual([[4, 'interrupted', 2]]);
  });
});

describe('a command that was accepted, and is on the disk although its commit was never answered', () => {
  /** The folder of a killed agent that had accepted two commands, with what its file says of the writes. */
  async function killedFolder(written: (count: string) => string) {
    const folder = temporaryFolder();
    const { journal } = await openTestJournal(folder);
    await accept(journal, 1);
    await accept(journal, 2);
    const killed = asAfterKill(folder);
    const file = join(killed, 'journal.count');
    writeFileSync(file, written(readFileSync(file, 'latin1')));
    return killed;
  }

  it('does not run: its sender may have been told that it was refused', async () => {
    const folder = await killedFolder((count) => count.replace('2 ', '1 '));
    const journal = createJournal(await openTestDatabase(folder), standingClock().clock);
    const { run, ended } = await journal.recover(tellNothing);
    expect([run.map(({ command: { id } }) => id), ended]).toEqual([[1], []]);
    expect(await journal.list({ limit: 5 })).toHaveLength(1);
    expect(await findIn(journal, keyOf(2))).toBeUndefined();
  });

  it('runs where the count was written before the system was started last: a power cut may have set it back', async () => {
    const folder = await killedFolder((count) => `${count.slice(0, 15)}1 ${'0'.repeat(36)}`);
    const journal = createJournal(await openTestDatabase(folder), standingClock().clock);
    const { run } = await journal.recover(tellNothing);
    expect(run.map(({ command: { id } }) => id)).toEqual([1, 2]);
  });
});

describe('what has ended', () => {
  it('is kept for as long as is wished, and then forgotten', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, { ...LIMITS, entries: 1000 });
    await Promise.all(Array.from({ length: 200 }, (_, id) => live(journal, id)));
    await accept(journal, 500);
    pass(LIMITS.keepMs - 1);
    journal.maintain();
    expect(journal.size).toMatchObject({ entries: 201, remembered: 201 });
    pass(1);
    journal.maintain();
    expect(await findIn(journal, keyOf(3))).toBeUndefined();
    expect(await accept(journal, 3)).toBeUndefined();
    expect(journal.size).toMatchObject({ entries: 2, live: 2, remembered: 2 });
  });

  it('is kept for the lifetime of its peer when that is longer', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, LIMITS);
    await live(journal, 1, { lifetimeMs: 9000 });
    pass(8999);
    journal.maintain();
    expect(await findIn(journal, keyOf(1))).toEqual(ENDED);
    pass(1);
    journal.maintain();
    expect(journal.size).toMatchObject({ entries: 0, remembered: 0 });
  });

  it('can be purged, which gives the journal a new identity; what runs stays', async () => {
    const { database, journal } = await openTestJournal(temporaryFolder());
    await live(journal, 1);
    await accept(journal, 2);
    const id = database.identity?.id;
    expect(await journal.purge()).toBe(1);
    expect(database.identity).toMatchObject({ lost: null });
    expect(database.identity?.id).not.toBe(id);
    expect((await journal.list({ limit: 10 })).map(({ seq }) => seq)).toEqual([2]);
    await finish(journal, 2);
    const { bytes } = journal.size;
    expect(journal.size).toEqual({ entries: 1, bytes, live: 0, remembered: 1 });
    expect(await journal.purge()).toBe(1);
    expect(journal.size).toEqual({ entries: 0, bytes: 0, live: 0, remembered: 0 });
    expect(await journal.purge()).toBe(0);
    expect(await findIn(journal, keyOf(1))).toBeUndefined();
  });

  it('is not purged with what ended before, when it ends after that in the same commit', async () => {
    const folder = temporaryFolder();
    const { database, journal } = await openTestJournal(folder);
    await live(journal, 1);
    for (const id of [2, 3]) await Promise.all([accept(journal, id), start(journal, id)]);
    const [, purged] = await Promise.all([finish(journal, 2), journal.purge(), finish(journal, 3)]);
    // 2 was not counted yet.
    expect(purged).toBe(1);
    const isKnown = async (of: Journal) => Promise.all([1, 2, 3].map((id) => findIn(of, keyOf(id))));
    expect(await isKnown(journal)).toEqual([undefined, undefined, ENDED]);
    await database.close();
    const after = await openTestJournal(folder);
    expect(await isKnown(after.journal)).toEqual([undefined, undefined, ENDED]);
  });

  it('stays within the bytes, with 10,000 commands and more', async () => {
    const folder = temporaryFolder();
    const { clock, pass } = standingClock();
    const limits = { keepMs: 0, entries: 10_000, bytes: 3_000_000, identities: 1_000_000 };
    const { database, journal } = await openTestJournal(folder, clock, limits);
    for (let id = 0; id < 12_000; id += 1000) {
      pass(100);
      const group = Array.from({ length: 1000 }, (_, index) => live(journal, id + index));
      expect((await Promise.all(group)).flat().filter((error) => error !== undefined)).toEqual([]);
      expect(journal.size.bytes).toBeLessThanOrEqual(limits.bytes);
    }
    await database.flush();
    const { size } = journal;
    expect(size.remembered).toBe(12_000);
    await database.read('PRAGMA wal_checkpoint(TRUNCATE)');
    expect(statSync(join(folder, 'journal.db')).size).toBeLessThan(2 * limits.bytes);
    await database.close();
    const after = await openTestJournal(folder, clock, limits);
    expect(after.journal.size).toEqual(size);
    for (const id of [0, 5000, 11_999]) expect(await findIn(after.journal, keyOf(id))).toBeDefined();
  }, 60_000);
});
