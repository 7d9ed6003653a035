import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import { GATEWAY } from '../../../shared/coap/parameters.js';
import { standingClock } from '../../agent/command/journal/support.js';
import { asAfterKill, lookingHandler, settled, startWired } from '../../agent/command/wired-support.js';
import { temporaryFolder } from '../../support/files.js';

const COMMANDS = 130;
/** Of them so many are in the database itself, the others in its log. */
const IN_DATABASE = 104;
const ids = Array.from({ length: COMMANDS }, (_, id) => id);
/** Of the others only the outcome is kept: they are packed by the hundred. */
const WITH_REPLY = 30;
const LIMITS = { keepMs: 3_600_000, entries: 120, bytes: 1e6, identities: 10_000 };

type Started = Awaited<ReturnType<typeof startWired>>;

/** Commands that have ended, in a journal that has written all of it into its database, and then some into the log. */
async function startUsed() {
  const { handler, seen } = lookingHandler('look', () => 1);
  const time = standingClock();
  const setup = { handlers: [handler], clock: time.clock, limits: LIMITS, config: { limits: { waiting: 1000 } } };
  const started = await startWired(setup);
  await sendAll(started, ids.slice(0, IN_DATABASE));
  await started.database.read('PRAGMA wal_checkpoint(TRUNCATE)');
  await sendAll(started, ids.slice(IN_DATABASE));
  expect(seen).toHaveLength(COMMANDS);
  started.sent.length = 0;
  return { ...started, seen, time, setup };
}

/** Sends commands, some at a time. */
async function sendAll({ receive }: Pick<Started, 'receive'>, some: readonly number[]): Promise<void> {
  for (let at = 0; at < some.length; at += 50) {
    for (const id of some.slice(at, at + 50)) receive(`#${id} look`);
    await settled();
  }
}

/** How many repeats are answered in each way. */
async function repeatAll({ reply }: Pick<Started, 'reply'>): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const id of ids) {
    const answer = String(await reply(`#${id} look`));
    const [, what = answer] = /^#\d+ ((?:repeat )?(?:(?:forgotten )?ok|(?:unrecorded )?error \w+))/.exec(answer) ?? [];
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}

const nameOf = (folder: string, suffix = '') => join(folder, `journal.db${suffix}`);

/** Replaces a file by another of the same name. */
function replace(path: string): void {
  writeFileSync(`${path}.other`, Buffer.alloc(8192, 7));
  renameSync(`${path}.other`, path);
}

/** By another process: to close the file in this one would release its locks. */
const truncate = (path: string) => void execFileSync('truncate', ['--size=0', path]);

describe('a journal whose files are lost while the agent runs', () => {
  it.each<[string, (folder: string) => void]>([
    ['the folder is deleted', (folder) => rmSync(folder, { recursive: true })],
    ['the database is deleted', (folder) => rmSync(nameOf(folder))],
    ['the log is deleted', (folder) => rmSync(nameOf(folder, '-wal'))],
    ['the database is replaced by another file', (folder) => replace(nameOf(folder))],
  ])('is written again from what is open, and knows all: %s', async (_, lose) => {
    const started = await startUsed();
    const { folder, database, reply, seen, setup } = started;
    const { identity } = database;
    const before = await repeatAll(started);
    expect(before).toEqual({ 'repeat ok': WITH_REPLY, 'repeat forgotten ok': COMMANDS - WITH_REPLY });
    lose(folder);
    // What finds the loss is not lost itself.
    expect(String(await reply('#1000 look'))).toBe('#1000 ok ok');
    expect(await repeatAll(started)).toEqual(before);
    expect(database.status).toMatchObject({ writable: true, lost: 0, rewritten: 1, damaged: 0 });
    expect(database.identity).toEqual(identity);
    await database.close();
    const after = await startWired({ ...setup, folder });
    expect(await repeatAll(after)).toEqual(before);
    expect(String(await after.reply('#1000 look'))).toBe('#1000 repeat ok ok');
    expect(after.database.status).toMatchObject({ lost: 0, damaged: 0 });
    expect(seen).toHaveLength(COMMANDS + 1);
  });

  it('is written again also while no command comes', async () => {
    const { folder, database, seen, setup } = await startUsed();
    rmSync(folder, { recursive: true });
    await expect.poll(() => database.status.rewritten).toBe(1);
    const after = await startWired({ ...setup, folder: asAfterKill(folder) });
    expect(await repeatAll(after)).toEqual({ 'repeat ok': WITH_REPLY, 'repeat forgotten ok': COMMANDS - WITH_REPLY });
    expect(seen).toHaveLength(COMMANDS);
  });

  it.each([
    ['database', ''],
    ['log', '-wal'],
  ])(
    'knows the outcomes that are in memory, where its %s is cut to nothing, and that the others are lost',
    async (_, suffix) => {
      const started = await startUsed();
      const { folder, database, reply, seen, setup } = started;
      truncate(nameOf(folder, suffix));
      expect(String(await reply('#1000 look'))).toBe('#1000 ok ok');
      // All are answered: those with a reply on the disk as done, without it; packed ones might have run or not.
      const after = await repeatAll(started);
      expect(after).toEqual({ 'repeat forgotten ok': WITH_REPLY, 'error interrupted': COMMANDS - WITH_REPLY });
      expect(database.status).toMatchObject({ writable: true, lost: 1, damaged: 1, rewritten: 0 });
      expect(database.identity).toMatchObject({ lost: setup.clock() });
      await database.close();
      const again = await startWired({ ...setup, folder });
      const repeated = { 'repeat forgotten ok': WITH_REPLY, 'repeat error interrupted': COMMANDS - WITH_REPLY };
      expect(await repeatAll(again)).toEqual(repeated);
      expect(seen).toHaveLength(COMMANDS + 1);
    },
  );
});

describe('a journal whose files were lost while no agent ran', () => {
  /** The database of another journal. */
  async function replaceByAnothers(folder: string): Promise<void> {
    const other = await startWired({ folder: temporaryFolder(), log: silentLog });
    await other.database.close();
    copyFileSync(nameOf(other.folder), nameOf(folder));
  }

  it.each<[string, (folder: string) => void | Promise<void>, damaged: number]>([
    ['the database is deleted', (folder) => rmSync(nameOf(folder)), 0],
    ['the database is cut to nothing', (folder) => truncateSync(nameOf(folder)), 1],
    ['the database is that of another journal', replaceByAnothers, 0],
    [
      'only its count of writes is left',
      (folder) => {
        for (const end of ['.db', '.db-wal', '.id']) rmSync(join(folder, `journal${end}`), { force: true });
      },
      0,
    ],
  ])(
    'answers what may have run as interrupted, for one exchange lifetime, and runs what comes then: %s',
    async (_, lose, damaged) => {
      const started = await startUsed();
      const { folder, database, seen, setup, time } = started;
      await database.close();
      const { identity } = database;
      await lose(folder);
      const after = await startWired({ ...setup, folder });
      expect(after.database.status).toMatchObject({ writable: true, lost: 1, damaged });
      expect(after.database.identity?.id).not.toBe(identity?.id);
      expect(await repeatAll(after)).toEqual({ 'error interrupted': COMMANDS });
      // Nobody can tell it from one that has run before.
      expect(String(await after.reply('#1000 look'))).toMatch(/^#1000 error interrupted /);
      expect(await repeatAll(after)).toEqual({ 'repeat error interrupted': COMMANDS });
      expect(seen).toHaveLength(COMMANDS);
      time.pass(GATEWAY.exchangeLifetime);
      expect(String(await after.reply('#1001 look'))).toBe('#1001 ok ok');
      expect(String(await after.reply('#1000 look'))).toMatch(/^#1000 repeat error interrupted /);
      await after.database.close();
      const again = await startWired({ ...setup, folder });
      expect(again.database.status.lost).toBe(0);
      expect(seen).toHaveLength(COMMANDS + 1);
    },
  );

  /** How a file is spoiled. */
  const SPOILT: [string, (path: string) => void][] = [
    ['deleted', (path) => rmSync(path)],
    ['emptied', (path) => truncateSync(path)],
    ['overwritten', (path) => writeFileSync(path, Buffer.alloc(20, 7))],
  ];

  it.each(SPOILT)('may lack writes where its count of them was %s: only what it has is known', async (_, spoil) => {
    const { folder, database, seen, setup } = await startUsed();
    await database.close();
    spoil(join(folder, 'journal.count'));
    const after = await startWired({ ...setup, folder });
    expect(after.database.status).toMatchObject({ lost: 1, damaged: 0 });
    expect(await repeatAll(after)).toEqual({ 'repeat ok': WITH_REPLY, 'repeat forgotten ok': COMMANDS - WITH_REPLY });
    expect(String(await after.reply('#1000 look'))).toMatch(/^#1000 error interrupted /);
    expect(seen).toHaveLength(COMMANDS);
    await after.database.close();
    const again = await startWired({ ...setup, folder });
    expect(again.database.status.lost).toBe(0);
  });

  it.each(SPOILT)('knows all, where only its marker was %s', async (_, spoil) => {
    const { folder, database, seen, setup } = await startUsed();
    await database.close();
    const { identity } = database;
    for (let restart = 0; restart < 2; restart++) {
      spoil(join(folder, 'journal.id'));
      const after = await startWired({ ...setup, folder });
      expect(after.database.status).toMatchObject({ lost: 0, damaged: 0 });
      expect(after.database.identity).toEqual(identity);
      expect(await repeatAll(after)).toEqual({ 'repeat ok': WITH_REPLY, 'repeat forgotten ok': COMMANDS - WITH_REPLY });
      await after.database.close();
    }
    expect(seen).toHaveLength(COMMANDS);
  });

  it('is a new one, and runs what comes, where the whole folder was deleted', async () => {
    const { folder, database, seen, setup } = await startUsed();
    await database.close();
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
    const after = await startWired({ ...setup, folder });
    expect(after.database.status).toMatchObject({ lost: 0, damaged: 0 });
    expect(String(await after.reply('#1000 look'))).toBe('#1000 ok ok');
    expect(seen).toHaveLength(COMMANDS + 1);
  });
});

describe('a journal that was set back', () => {
  /** A state folder as a kill leaves it: its log has the last fifth of the commands. */
  async function killed() {
    const started = await startUsed();
    const folder = temporaryFolder();
    for (const name of readdirSync(started.folder)) copyFileSync(join(started.folder, name), join(folder, name));
    return { ...started, folder };
  }

  /** A copy of the database when it had four fifths of the commands. */
  async function olderCopy(folder: string): Promise<void> {
    const { handler } = lookingHandler('look', () => 1);
    const older = await startWired({ handlers: [handler], limits: LIMITS });
    await sendAll(older, ids.slice(0, IN_DATABASE));
    await older.database.close();
    rmSync(nameOf(folder, '-wal'));
    copyFileSync(nameOf(older.folder), nameOf(folder));
    // Its identity is the same.
    copyFileSync(join(older.folder, 'journal.id'), join(folder, 'journal.id'));
  }

  /** Where a log is spoiled: its end may only replace replies by identities, without which nothing is lost. */
  const EARLY = 1 / 8;
  const cut = (path: string) => truncateSync(path, Math.floor(statSync(path).size * EARLY));

  it.each<[string, (folder: string) => void | Promise<void>]>([
    ['its log was cut', (folder) => cut(nameOf(folder, '-wal'))],
    ['its log was emptied', (folder) => truncateSync(nameOf(folder, '-wal'))],
    ['its log was deleted', (folder) => rmSync(nameOf(folder, '-wal'))],
    [
      'its log was overwritten in one place',
      (folder) => {
        const bytes = readFileSync(nameOf(folder, '-wal'));
        bytes.fill(7, bytes.length * EARLY, bytes.length * EARLY + 3000);
        writeFileSync(nameOf(folder, '-wal'), bytes);
      },
    ],
    ['an older copy was put in its place', olderCopy],
  ])('runs nothing twice, and answers what it still knows: %s', async (_, setBack) => {
    const { folder, seen, setup } = await killed();
    await setBack(folder);
    const after = await startWired({ ...setup, folder });
    expect(after.database.status).toMatchObject({ writable: true, lost: 1 });
    const answers = await repeatAll(after);
    expect(seen).toHaveLength(COMMANDS);
    // All that had been written into the database before is known, in whatever words.
    expect((answers['error interrupted'] ?? 0) + (answers['repeat error interrupted'] ?? 0)).toBeGreaterThan(0);
    expect((answers['repeat ok'] ?? 0) + (answers['repeat forgotten ok'] ?? 0)).toBeGreaterThanOrEqual(95);
    await after.database.close();
    const again = await startWired({ ...setup, folder });
    expect(again.database.status.lost).toBe(0);
    await repeatAll(again);
    expect(seen).toHaveLength(COMMANDS);
  });

  it('is not what a kill leaves', async () => {
    const { folder, seen, setup } = await killed();
    const after = await startWired({ ...setup, folder });
    expect(after.database.status.lost).toBe(0);
    expect(await repeatAll(after)).toEqual({ 'repeat ok': WITH_REPLY, 'repeat forgotten ok': COMMANDS - WITH_REPLY });
    expect(seen).toHaveLength(COMMANDS);
  });

  it('is not one from which all was forgotten, or purged', async () => {
    const { folder, database, journal, time, setup } = await startUsed();
    time.pass(2 * LIMITS.keepMs);
    journal.maintain();
    await database.close();
    const second = await startWired({ ...setup, folder });
    expect(second.journal.size.remembered).toBe(0);
    await sendAll(second, [1, 2, 3]);
    expect(await second.journal.purge()).toBe(3);
    await second.database.close();
    const third = await startWired({ ...setup, folder });
    expect([second.database.status.lost, third.database.status.lost]).toEqual([0, 0]);
  });
});
