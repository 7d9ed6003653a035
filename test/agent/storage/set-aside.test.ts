import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createJournal } from '../../../agent/command/journal/journal.js';
import { openOutbox } from '../../../agent/command/outbox/outbox.js';
import { KEPT_DAMAGED, setAside } from '../../../agent/storage/set-aside.js';
import { temporaryFolder } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { SEED, seededRandom } from '../../support/seed.js';
import {
  command,
  keyOf,
  openTestDatabase,
  openTestJournal,
  REPLY,
  standingClock,
  tellNothing,
  told,
} from '../command/journal/support.js';
import { filledFolder } from './support.js';

/** Everything that an agent does with its state folder. */
async function useFolder(folder: string, firstId = 100) {
  const database = await openTestDatabase(folder);
  const outbox = openOutbox(database, standingClock().clock);
  const journal = createJournal(database, standingClock().clock);
  const { run, ended } = journal.recover(tellNothing);
  for (const entry of [...run, ...ended]) {
    // A damaged command must never come back as another.
    const { id, key, request } = entry.command;
    if (typeof id !== 'number' || !keyOf(id).equals(key) || request.length !== 20 + 19 * id) {
      throw new Error(`a damaged command came back: ${JSON.stringify(entry.command)}`);
    }
  }
  journal.list({ limit: 1000 });
  for (let id = 0; id < 60; id++) journal.find(keyOf(id));
  const writes = [firstId, firstId + 1, firstId + 2].flatMap((id) => [
    told((done) => void journal.accept(command(id), done)),
    told((done) => journal.start(keyOf(id), done)),
    told((done) => journal.finish(keyOf(id), { outcome: 'done', reply: REPLY }, done)),
  ]);
  const errors = await Promise.all(writes);
  for (let item = outbox.waiting()[0]; item !== undefined; item = outbox.waiting()[0]) outbox.remove(item.seq);
  journal.maintain();
  const { damaged } = database;
  database.close();
  return { damaged, known: run.length + ended.length, errors: errors.filter((error) => error !== undefined) };
}

/** Of each kind of damage, each at another place. */
const ROUNDS = 25;
const random = seededRandom(SEED);
const DAMAGES: Record<string, (bytes: Buffer) => Buffer> = {
  truncated: (bytes) => bytes.subarray(0, random.integer(bytes.length)),
  zeroed: (bytes) => bytes.fill(0, random.integer(bytes.length)),
  scrambled: (bytes) => {
    const at = random.integer(bytes.length);
    random.bytes(1 + random.integer(100)).copy(bytes, at);
    return bytes;
  },
  'with one bit turned': (bytes) => {
    const at = random.integer(bytes.length);
    bytes.writeUInt8((bytes[at] ?? 0) ^ (1 << random.integer(8)), at);
    return bytes;
  },
  'with its head scrambled': (bytes) => {
    random.bytes(1 + random.integer(4)).copy(bytes, random.integer(200));
    return bytes;
  },
};

describe('a damaged database', () => {
  it.each(Object.entries(DAMAGES))(
    '%s is set aside, or harmless',
    async (_, damage) => {
      const original = readFileSync(join(await filledFolder(), 'journal.db'));
      let setAsides = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const folder = temporaryFolder();
        writeFileSync(join(folder, 'journal.db'), damage(Buffer.from(original)));
        const { damaged, errors } = await useFolder(folder);
        expect(errors, `seed ${SEED}, round ${round}`).toEqual([]);
        expect(readdirSync(folder).filter((name) => /damaged-.*Z$/.test(name))).toHaveLength(damaged);
        expect(await useFolder(folder, 200)).toMatchObject({ damaged: 0, errors: [] });
        setAsides += damaged;
        rmSync(folder, { recursive: true });
      }
      expect(setAsides).toBeGreaterThan(0);
    },
    60_000,
  );

  it('with a sound structure and damaged records is set aside too', async () => {
    const folder = await filledFolder();
    const path = join(folder, 'journal.db');
    // In every request, and in what SQLite has left of them in free space.
    const request = Buffer.alloc(60, 65).toString('base64');
    const changed = readFileSync(path, 'latin1').replaceAll(request, request.replace('QUFB', 'QkJC'));
    writeFileSync(path, changed, 'latin1');
    expect(await useFolder(folder)).toMatchObject({ damaged: 1, known: 0, errors: [] });
  });

  it('is logged with the cause and its new name, and counted', async () => {
    const folder = await filledFolder();
    writeFileSync(join(folder, 'journal.db'), Buffer.alloc(8192, 7));
    const { log, lines } = recordingLog();
    const database = await openTestDatabase(folder, log, () => Date.UTC(2026, 10, 23));
    expect(database.damaged).toBe(1);
    const name = 'journal.db.damaged-2026-11-23T00:00:00.000Z';
    expect(lines).toMatchObject([{ level: 'error', details: { setAside: join(folder, name) } }]);
    expect(readFileSync(join(folder, name))).toEqual(Buffer.alloc(8192, 7));
  });

  it('of another version is set aside too', async () => {
    const folder = await filledFolder();
    const path = join(folder, 'journal.db');
    const bytes = readFileSync(path);
    bytes.writeUInt32BE(99, 60);
    writeFileSync(path, bytes);
    expect(await useFolder(folder)).toMatchObject({ damaged: 1, known: 0, errors: [] });
  });

  it('that is found at run time loses ended commands, and neither pending writes nor running commands', async () => {
    const folder = temporaryFolder();
    const { database, journal } = await openTestJournal(folder);
    await told((done) => void journal.accept(command(1), done));
    await told((done) => journal.start(keyOf(1), done));
    // More than the page cache holds: what is in that is good, whatever becomes of the file.
    for (let id = 100; id < 1100; id++) {
      journal.accept(command(id, { request: Buffer.alloc(1300) }), () => undefined);
      journal.finish(keyOf(id), { outcome: 'done' });
    }
    await told((done) => void journal.accept(command(2), done));
    database.read((c) => c.get('PRAGMA wal_checkpoint(TRUNCATE)'));
    const path = join(folder, 'journal.db');
    writeFileSync(path, readFileSync(path).fill(0xa5, 4096), { flag: 'r+' });
    expect(await told((done) => journal.finish(keyOf(1), { outcome: 'done', reply: REPLY }, done))).toBeUndefined();
    expect(journal.list({ limit: 2000 }).map(({ command: { id }, state }) => [id, state])).toEqual([
      [2, 'accepted'],
      [1, 'done'],
    ]);
    expect(await told((done) => void journal.accept(command(3), done))).toBeUndefined();
    expect(journal.size.entries).toBe(3);
    expect(database.damaged).toBe(1);
    database.close();
    const after = await openTestJournal(folder);
    expect(after.journal.find(keyOf(3))).toMatchObject({ command: { name: 'relay.set' } });
  });

  it('is kept under a name of its own, up to a bound', () => {
    const folder = temporaryFolder();
    const path = join(folder, 'journal.db');
    for (let time = 0; time < KEPT_DAMAGED + 4; time++) {
      for (const suffix of ['', '-wal', '-shm']) writeFileSync(path + suffix, String(time));
      const target = setAside(path, new Date(1_800_000_000_000 + 1000 * Math.floor(time / 2)));
      expect(readFileSync(`${target}-wal`, 'utf8')).toBe(String(time));
    }
    expect(readdirSync(folder)).toHaveLength(3 * KEPT_DAMAGED);
    expect(existsSync(path)).toBe(false);
  });
});
