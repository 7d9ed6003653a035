import { copyFileSync, mkdirSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createJournal } from '../../agent/command/journal/journal.js';
import { openOutbox } from '../../agent/command/outbox/outbox.js';
import {
  command,
  keyOf,
  openTestDatabase,
  openTestJournal,
  REPLY,
  standingClock,
  tellNothing,
  told,
} from '../agent/command/journal/support.js';
import { fill, filledFolder, smallDisk } from '../agent/storage/support.js';
import { recordingLog } from '../support/log.js';
import { needs } from '../support/needs.js';

describe.skipIf(needs('root'))('a full disk', () => {
  it('refuses commands as busy, keeps what has ended, and goes on when there is room', async () => {
    const folder = smallDisk(1024 * 1024);
    const { database, journal } = await openTestJournal(folder);
    await told((done) => void journal.accept(command(1), done));
    await told((done) => journal.start(keyOf(1), done));
    fill(folder);
    let refused: { code: string } | undefined;
    let id = 2;
    for (; refused === undefined && id < 200; id++) {
      refused = await told((done) => void journal.accept(command(id, { request: Buffer.alloc(1300) }), done));
    }
    expect(refused).toMatchObject({ code: 'busy' });
    expect(journal.find(keyOf(id - 1))).toBeUndefined();
    const unsaved = await told((done) => journal.finish(keyOf(1), { outcome: 'done', reply: REPLY }, done));
    expect(journal.find(keyOf(1))).toMatchObject({ state: 'done', reply: REPLY });
    rmSync(join(folder, 'filler'));
    journal.maintain();
    expect(await told((done) => void journal.accept(command(500), done))).toBeUndefined();
    expect(database.damaged).toBe(0);
    database.close();
    const after = await openTestJournal(folder);
    expect(unsaved?.code ?? 'busy').toBe('busy');
    expect(after.journal.find(keyOf(1))).toMatchObject({ state: 'done', reply: REPLY });
    expect(after.journal.find(keyOf(id - 1))).toBeUndefined();
  });

  it('from the start is no end: it opens when there is room', async () => {
    const folder = smallDisk(256 * 1024);
    fill(folder);
    let now = 0;
    const { log, lines } = recordingLog();
    const database = await openTestDatabase(folder, log, () => now);
    const journal = createJournal(database, standingClock().clock);
    expect(lines.map(({ level }) => level)).toEqual(['error']);
    expect(() => journal.recover(tellNothing)).toThrow(expect.objectContaining({ code: 'busy' }));
    expect(await told((done) => void journal.accept(command(1), done))).toMatchObject({ code: 'busy' });
    expect(openOutbox(database, standingClock().clock).waiting()[0]).toBeUndefined();
    truncateSync(join(folder, 'filler'), 0);
    now += 10_000;
    expect(journal.recover(tellNothing)).toEqual({ run: [], ended: [] });
    expect(await told((done) => void journal.accept(command(1), done))).toBeUndefined();
  });

  it('lets an old journal be read', async () => {
    const source = await filledFolder();
    const folder = smallDisk(512 * 1024);
    copyFileSync(join(source, 'journal.db'), join(folder, 'journal.db'));
    mkdirSync(join(folder, 'x'));
    fill(folder);
    const database = await openTestDatabase(folder);
    const journal = createJournal(database, standingClock().clock);
    try {
      expect(journal.find(keyOf(2))).toMatchObject({ state: 'done' });
    } catch (error) {
      expect(error).toMatchObject({ code: 'busy' });
    }
    expect(database.damaged).toBe(0);
  });
});
