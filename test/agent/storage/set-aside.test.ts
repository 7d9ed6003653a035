import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import { createJournal } from '../../../agent/command/journal/journal.js';
import type { Journal, Recovered } from '../../../agent/command/journal/types.js';
import { openOutbox } from '../../../agent/command/outbox/outbox.js';
import type { Database } from '../../../agent/storage/database.js';
import { KEPT_DAMAGED, setAside } from '../../../agent/storage/set-aside.js';
import { isSupersimError } from '../../../shared/errors.js';
import { temporaryFolder } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { SEED, seededRandom } from '../../support/seed.js';
import {
  accept,
  command,
  ENDED,
  findIn,
  finish,
  keyOf,
  live,
  openTestDatabase,
  openTestJournal,
  REPLY,
  reopened,
  standingClock,
  start,
  tellNothing,
  told,
} from '../command/journal/support.js';
import { changeInPlace, filledFolder } from './support.js';

/** Recovers, again where a damaged database was set aside meanwhile, as the agent does. */
async function recoverInTheEnd(database: Database, journal: Journal): Promise<Recovered> {
  const opened = reopened(database);
  try {
    return await journal.recover(tellNothing);
  } catch (error) {
    if (!isSupersimError(error, 'busy')) throw error;
    await opened;
    return recoverInTheEnd(database, journal);
  }
}

/** Everything that an agent does with its state folder. */
async function useFolder(folder: string, firstId = 100) {
  const database = await openTestDatabase(folder, silentLog, { retryMs: 20 });
  const outbox = await openOutbox(database, standingClock().clock);
  const journal = createJournal(database, standingClock().clock);
  const { run, ended } = await recoverInTheEnd(database, journal);
  for (const entry of [...run, ...ended]) {
    // A damaged command must never come back as another.
    const { id, key, request } = entry.command;
    if (typeof id !== 'number' || !keyOf(id).equals(key) || request.length !== 20 + 19 * id) {
      throw new Error(`a damaged command came back: ${JSON.stringify(entry.command)}`);
    }
  }
  await journal.list({ limit: 1000 });
  for (let id = 0; id < 60; id++) await findIn(journal, keyOf(id));
  const writes = [firstId, firstId + 1, firstId + 2].flatMap((id) => [
    told((done) => journal.accept(command(id), done)),
    told((done) => journal.start(keyOf(id), done)),
    told((done) => journal.finish(keyOf(id), { outcome: 'done', reply: REPLY }, done)),
  ]);
  const errors = await Promise.all(writes);
  for (let item = outbox.waiting()[0]; item !== undefined; item = outbox.waiting()[0]) outbox.remove(item.seq);
  journal.maintain();
  const { damaged } = database.status;
  await database.close();
  return { damaged, known: run.length + ended.length, errors: errors.filter((error) => error !== undefined) };
}

/** Damages of each kind, each at several places; `npm run soak` tries more. */
const ROUNDS = Number(process.env['SOAK_DAMAGES'] ?? 4);
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
    600_000,
  );

  it('with a sound structure and damaged records is set aside too', async () => {
    const folder = await filledFolder();
    // In every reply, and in the copies of them that SQLite leaves in free space.
    const reply = 'B'.repeat(20);
    changeInPlace(join(folder, 'journal.db'), reply, `C${reply.slice(1)}`);
    expect(await useFolder(folder)).toMatchObject({ damaged: 1, known: 0, errors: [] });
  });

  it('is logged with the cause and its new name, and counted', async () => {
    const folder = await filledFolder();
    writeFileSync(join(folder, 'journal.db'), Buffer.alloc(8192, 7));
    const { log, lines } = recordingLog();
    const database = await openTestDatabase(folder, log);
    expect(database.status).toMatchObject({ damaged: 1, lost: 1 });
    const [name = ''] = readdirSync(folder).filter((one) => /^journal\.db\.damaged-[\dT:.-]+Z$/.test(one));
    expect(lines).toMatchObject([
      { level: 'error', details: { setAside: join(folder, name) } },
      { level: 'error', message: expect.stringContaining('journal: lost') },
    ]);
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

  it('that is found at run time loses replies, and neither pending writes nor running commands', async () => {
    const folder = temporaryFolder();
    const { database, journal } = await openTestJournal(folder);
    await Promise.all([accept(journal, 1), start(journal, 1)]);
    await live(journal, 100, { request: Buffer.from('to be damaged') });
    await accept(journal, 2);
    await database.read('PRAGMA wal_checkpoint(TRUNCATE)');
    changeInPlace(join(folder, 'journal.db'), 'to be damaged', 'it is damaged');
    // Cached pages are not affected.
    await database.read('PRAGMA shrink_memory');
    expect(await findIn(journal, keyOf(100))).toMatchObject({ kind: 'forgotten', outcome: 'done' });
    expect(await finish(journal, 1)).toBeUndefined();
    expect((await journal.list({ limit: 2000 })).map(({ command: { id }, state }) => [id, state])).toEqual([
      [2, 'accepted'],
      [1, 'done'],
    ]);
    expect(await accept(journal, 3)).toBeUndefined();
    expect(journal.size).toMatchObject({ entries: 3, remembered: 4 });
    expect(database.status).toMatchObject({ damaged: 1, lost: 1 });
    await database.close();
    const after = await openTestJournal(folder);
    expect(await findIn(after.journal, keyOf(1))).toEqual(ENDED);
    expect((await after.journal.get(4))?.command).toMatchObject({ id: 3, name: 'relay.set' });
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
