import { describe, expect, it, vi } from 'vitest';
import { acceptedEntry, endedEntry, startedEntry } from '../../../../agent/command/journal/entry.js';
import { loadJournal } from '../../../../agent/command/journal/load.js';
import { createRemembered } from '../../../../agent/command/journal/remembered.js';
import { insertIdentities, insertRow } from '../../../../agent/command/journal/rows.js';
import { temporaryFolder } from '../../../support/files.js';
import {
  accept,
  command,
  keyOf,
  live,
  openTestDatabase,
  openTestJournal,
  REPLY,
  reopened,
  standingClock,
  told,
} from './support.js';

const NOW = standingClock().clock();

/** A database with so many commands, of which every third has ended. */
async function filled(count: number) {
  const database = await openTestDatabase(temporaryFolder());
  await told((done) =>
    database.write((run) => {
      for (let seq = 1; seq <= count; seq++) {
        const accepted = acceptedEntry(command(seq), seq, NOW);
        const started = startedEntry(accepted, NOW);
        insertRow(
          run,
          [endedEntry(started, { outcome: 'done', reply: REPLY }, NOW), accepted, started][seq % 3] ?? accepted,
          database.nextCount(),
        );
      }
    }, done),
  );
  return database;
}

describe('loading', () => {
  it.each([0, 1, 64, 65, 200])(
    '%d commands finds those that have ended, and gives the others in their order',
    async (count) => {
      const database = await filled(count);
      const remembered = createRemembered(database);
      const { live: unended, lastSeq } = await loadJournal(database, remembered);
      expect(lastSeq).toBe(count);
      expect(unended.map(({ entry }) => entry.seq)).toEqual(
        Array.from({ length: count }, (_, index) => index + 1).filter((seq) => seq % 3 > 0),
      );
      expect(remembered.count).toBe(Math.floor(count / 3));
      for (let seq = 1; seq <= count; seq++) expect(remembered.numbersOf(keyOf(seq)).length > 0).toBe(seq % 3 === 0);
      // Again, as after a disk that could not be written: nothing counts twice.
      await loadJournal(database, remembered);
      expect(remembered.count).toBe(Math.floor(count / 3));
    },
  );

  it('reads in pieces, so that nothing waits long for it', async () => {
    const database = await filled(300);
    const read = vi.spyOn(database, 'read');
    await loadJournal(database, createRemembered(database));
    const rows = await Promise.all(read.mock.results.map(({ value }) => value));
    expect(Math.max(...rows.map((some) => (Array.isArray(some) ? some.length : 0)))).toBe(64);
  });

  it('finds identities of earlier runs, and numbers what ends then after them', async () => {
    const folder = temporaryFolder();
    const { clock } = standingClock();
    const limits = { keepMs: 1e6, entries: 5, bytes: 1e6, identities: 1000 };
    for (let run = 0; run < 4; run++) {
      const { database, journal } = await openTestJournal(folder, clock, limits);
      for (let id = 0; id < 7; id++) await live(journal, 10 * run + id);
      await database.flush();
      expect(journal.size.remembered).toBe(7 * (run + 1));
      await database.close();
    }
    const database = await openTestDatabase(folder);
    const remembered = createRemembered(database);
    await loadJournal(database, remembered);
    for (let run = 0; run < 4; run++) {
      for (let id = 0; id < 7; id++) expect(await remembered.find(keyOf(10 * run + id))).toBeDefined();
      expect(await remembered.find(keyOf(10 * run + 7))).toBeUndefined();
    }
  });

  it.each([
    ['of a command', 'UPDATE command SET progress = zeroblob(9) WHERE seq = 3'],
    ['of a command that has not ended', 'UPDATE command SET record = zeroblob(9) WHERE seq = 1'],
    ['of identities', 'INSERT INTO identities VALUES (5, zeroblob(9))'],
  ])('a damaged record %s sets the database aside, and is busy until the next is open', async (_, damage) => {
    const database = await filled(10);
    await told((done) => database.write((run) => run(damage, []), done));
    const opened = reopened(database);
    const remembered = createRemembered(database);
    await expect(loadJournal(database, remembered)).rejects.toMatchObject({ code: 'busy' });
    expect(remembered.count).toBe(0);
    expect(await opened).toEqual({ writable: true, contents: 'lost' });
    expect(await loadJournal(database, remembered)).toEqual({ live: [], lastSeq: 0 });
    expect(database.status).toMatchObject({ damaged: 1, lost: 1 });
  });

  it('a group of identities that is that of another row is damage', async () => {
    const { database, journal } = await openTestJournal(temporaryFolder(), standingClock().clock, {
      keepMs: 1e6,
      entries: 1,
      bytes: 1e6,
      identities: 100,
    });
    for (let id = 0; id < 3; id++) await live(journal, id);
    await accept(journal, 9);
    const [row] = await database.read('SELECT record FROM identities');
    const record = typeof row === 'object' && row !== null && 'record' in row ? row.record : undefined;
    await told((done) =>
      database.write(
        (run) => insertIdentities(run, 77, record instanceof Uint8Array ? record : Buffer.from('x')),
        done,
      ),
    );
    await expect(loadJournal(database, createRemembered(database))).rejects.toMatchObject({ code: 'busy' });
  });
});
