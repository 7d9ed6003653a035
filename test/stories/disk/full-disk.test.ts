import { copyFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createJournal } from '../../../agent/command/journal/journal.js';
import { openOutbox } from '../../../agent/command/outbox/outbox.js';
import {
  command,
  findIn,
  keyOf,
  live,
  openTestDatabase,
  openTestJournal,
  REPLY,
  reopened,
  standingClock,
  tellNothing,
  told,
} from '../../agent/command/journal/support.js';
import { fill, filledFolder, smallDisk } from '../../agent/storage/support.js';
import { recordingLog } from '../../support/log.js';
import { needs } from '../../support/needs.js';

describe.skipIf(needs('root'))('a full disk', () => {
  it('refuses commands as busy, keeps what has ended, and goes on when there is room', async () => {
    const folder = smallDisk(1024 * 1024);
    const { database, journal } = await openTestJournal(folder);
    await told((done) => journal.accept(command(1), done));
    await told((done) => journal.start(keyOf(1), done));
    fill(folder);
    let refused: { code: string } | undefined;
    let id = 2;
    for (; refused === undefined && id < 200; id++) {
      refused = await told((done) => journal.accept(command(id, { request: Buffer.alloc(1300) }), done));
    }
    expect(refused).toMatchObject({ code: 'busy' });
    expect(await findIn(journal, keyOf(id - 1))).toBeUndefined();
    const unsaved = await told((done) => journal.finish(keyOf(1), { outcome: 'done', reply: REPLY }, done));
    expect(unsaved?.code ?? 'busy').toBe('busy');
    expect(await findIn(journal, keyOf(1))).toEqual({ kind: 'ended', reply: REPLY });
    rmSync(join(folder, 'filler'));
    journal.maintain();
    expect(await told((done) => journal.accept(command(500), done))).toBeUndefined();
    expect(database.status).toMatchObject({ damaged: 0, lost: 0, restarted: 0 });
    await database.close();
    const after = await openTestJournal(folder);
    expect(await findIn(after.journal, keyOf(1))).toEqual({ kind: 'ended', reply: REPLY });
    expect(await findIn(after.journal, keyOf(id - 1))).toBeUndefined();
  });

  it.each([1, 2, 4])('of %d MiB is not filled by the log, takes all commands, and knows them', async (mebibytes) => {
    const folder = smallDisk(mebibytes * 1024 * 1024);
    const limits = { keepMs: 1000, entries: 200, bytes: 200_000, identities: 10_000 };
    const { clock } = standingClock();
    const { database, journal } = await openTestJournal(folder, clock, limits);
    for (let id = 0; id < 3000; id += 20) {
      const group = await Promise.all(Array.from({ length: 20 }, (_, at) => live(journal, id + at)));
      expect(group.flat().filter((error) => error !== undefined)).toEqual([]);
    }
    fill(folder);
    const refused = await told((done) => journal.accept(command(5000, { request: Buffer.alloc(1300) }), done));
    expect(refused).toMatchObject({
      code: 'busy',
      message: expect.stringContaining('full'),
      remedy: expect.stringContaining('Free space'),
    });
    rmSync(join(folder, 'filler'));
    expect((await live(journal, 5001)).flat().filter((error) => error !== undefined)).toEqual([]);
    await database.close();
    const after = await openTestJournal(folder, clock, limits);
    expect(after.database.status).toMatchObject({ lost: 0, damaged: 0 });
    for (const id of [0, 1500, 2999])
      expect(await findIn(after.journal, keyOf(id))).toMatchObject({ kind: id < 2900 ? 'forgotten' : 'ended' });
    expect(await findIn(after.journal, keyOf(5001))).toMatchObject({ kind: 'ended' });
  });

  it('from the start is no end: it opens when there is room', async () => {
    const folder = smallDisk(256 * 1024);
    fill(folder);
    const { log, lines } = recordingLog();
    const database = await openTestDatabase(folder, log, { retryMs: 20 });
    const journal = createJournal(database, standingClock().clock);
    await expect(journal.recover(tellNothing)).rejects.toMatchObject({ code: 'busy' });
    expect(await told((done) => journal.accept(command(1), done))).toMatchObject({ code: 'busy' });
    expect((await openOutbox(database, standingClock().clock)).waiting()).toEqual([]);
    const whenOpen = reopened(database);
    truncateSync(join(folder, 'filler'), 0);
    expect(await whenOpen).toMatchObject({ writable: true });
    expect(lines.map(({ level }) => level)).toEqual(['error']);
    expect(await journal.recover(tellNothing)).toEqual({ run: [], ended: [] });
    expect(await told((done) => journal.accept(command(1), done))).toBeUndefined();
    expect(database.status.lost).toBe(0);
  });

  it('lets an old journal be read', async () => {
    const source = await filledFolder();
    const folder = smallDisk(512 * 1024);
    for (const name of ['journal.db', 'journal.id', 'journal.count'])
      copyFileSync(join(source, name), join(folder, name));
    fill(folder);
    const { database, journal } = await openUnrecovered(folder);
    expect(await findIn(journal, keyOf(2))).toMatchObject({ kind: 'ended' });
    expect(await findIn(journal, keyOf(1))).toMatchObject({ kind: 'forgotten', outcome: 'interrupted' });
    expect(await findIn(journal, keyOf(999))).toMatchObject({ kind: 'unknown' });
    expect(database.status.damaged).toBe(0);
  });
});

/** A journal that cannot write how the commands of the last agent ended. */
async function openUnrecovered(folder: string) {
  const database = await openTestDatabase(folder);
  const journal = createJournal(database, standingClock().clock);
  await expect(journal.recover(tellNothing)).rejects.toMatchObject({ code: 'busy' });
  return { database, journal };
}
