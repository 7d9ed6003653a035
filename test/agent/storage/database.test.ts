import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Database } from '../../../agent/storage/database.js';
import type { SupersimError } from '../../../shared/errors.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { openTestDatabase, reopened, told } from '../command/journal/support.js';
import { countIn, insert, unansweringFolder } from './support.js';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Writes a row, and notes when it is put into a commit, and when its end is told. */
const noted = (database: Database, order: string[], name: string): Promise<SupersimError | undefined> =>
  told((done) =>
    database.write(
      () => order.push(`write ${name}`),
      (error) => {
        order.push(`told ${name}`);
        done(error);
      },
    ),
  );

describe('group commits', () => {
  it('commit the writes of one turn together and in order, and then call back each', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const order: string[] = [];
    const both = ['1', '2'].map((name) => noted(database, order, name));
    expect(order).toEqual([]);
    expect(await Promise.all(both)).toEqual([undefined, undefined]);
    expect(order).toEqual(['write 1', 'write 2', 'told 1', 'told 2']);
  });

  it('commit the writes that come during a commit together in the next', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const order: string[] = [];
    const later: Promise<unknown>[] = [];
    await told((done) =>
      database.write(() => {
        setImmediate(() => later.push(...['1', '2'].map((name) => noted(database, order, name))));
      }, done),
    );
    await Promise.all(later);
    expect(order).toEqual(['write 1', 'write 2', 'told 1', 'told 2']);
  });

  it('begin at the end of a turn, also when each turn brings more writes', async () => {
    const database = await openTestDatabase(temporaryFolder());
    let begun = 0;
    let turns = 0;
    for (; turns < 100 && begun === 0; turns++) {
      database.write(
        () => void begun++,
        () => undefined,
      );
      await nextTurn();
    }
    expect(turns).toBeLessThan(4);
  });

  it('fail all writes of a failed group, and continue with the next', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const bad = told((done) => database.write((run) => run('INSERT INTO nowhere VALUES (1)', []), done));
    const results = await Promise.all([insert(database, 1), bad]);
    expect(results.map((error) => error?.code)).toEqual(['busy', 'busy']);
    expect(await countIn(database)).toBe(0);
    expect(await insert(database, 1)).toBeUndefined();
  });

  it('keep an error that is thrown when one is told from the others', async () => {
    const { log, withMessage } = recordingLog();
    const database = await openTestDatabase(temporaryFolder(), log);
    database.write(
      () => undefined,
      () => {
        throw new Error('broken');
      },
    );
    expect(await insert(database, 1)).toBeUndefined();
    expect(withMessage('internal error')).toHaveLength(1);
  });

  it('are read by what is read after them', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const written = [1, 2, 3].map((seq) => insert(database, seq));
    expect(await countIn(database)).toBe(3);
    expect(await Promise.all(written)).toEqual([undefined, undefined, undefined]);
  });

  it('refuse what is more than can wait, and take more when that is written', async () => {
    const database = await openTestDatabase(undefined);
    const all = await Promise.all(Array.from({ length: 16_385 }, (_, seq) => insert(database, seq)));
    expect(all.filter((error) => error?.code === 'busy')).toHaveLength(1);
    expect(await countIn(database)).toBe(16_384);
    expect(await insert(database, 99_999)).toBeUndefined();
  });

  it('commit waiting writes on close, and refuse later ones', async () => {
    const folder = temporaryFolder();
    const database = await openTestDatabase(folder);
    const waiting = insert(database, 1);
    const closed = database.close();
    expect(await waiting).toBeUndefined();
    await closed;
    expect(await insert(database, 2)).toMatchObject({ code: 'busy' });
    await expect(database.read('SELECT 1')).rejects.toMatchObject({ code: 'busy' });
    expect(await countIn(await openTestDatabase(folder))).toBe(1);
  });
});

describe('a read', () => {
  it('that fails is rejected, and keeps neither others nor writes from theirs', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const written = insert(database, 1);
    const wrong = database.read('SELECT * FROM nowhere');
    const right = countIn(database);
    await expect(wrong).rejects.toMatchObject({ code: 'busy' });
    expect([await written, await right]).toEqual([undefined, 1]);
  });
});

describe('a state folder', () => {
  it('is created for its owner only', async () => {
    const folder = join(temporaryFolder(), 'a', 'b');
    const database = await openTestDatabase(folder);
    expect(database.persistent).toBe(true);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it('has a write-ahead log that is synced at every commit, and is locked', async () => {
    const database = await openTestDatabase(temporaryFolder());
    expect(await database.read('PRAGMA journal_mode')).toMatchObject([{ journal_mode: 'wal' }]);
    expect(await database.read('PRAGMA synchronous')).toMatchObject([{ synchronous: 2 }]);
    expect(await database.read('PRAGMA locking_mode')).toMatchObject([{ locking_mode: 'exclusive' }]);
  });

  it('that cannot be used is never replaced by memory: what needs it is refused', async () => {
    const { log, lines } = recordingLog();
    const database = await openTestDatabase(join(writeFile(temporaryFolder(), 'file', ''), 'folder'), log);
    expect(database.persistent).toBe(true);
    expect(lines.map(({ level }) => level)).toEqual(['error']);
    expect(await insert(database, 1)).toMatchObject({ code: 'busy' });
    await expect(database.read('SELECT 1')).rejects.toMatchObject({ code: 'busy' });
    expect(database.status).toMatchObject({ writable: false, reason: expect.stringContaining('ENOTDIR') });
    await database.probe();
  });

  it('can be used by one agent at a time', async () => {
    const folder = temporaryFolder();
    const first = await openTestDatabase(folder);
    await expect(openTestDatabase(folder)).rejects.toMatchObject({ code: 'state-in-use' });
    await first.close();
    expect((await openTestDatabase(folder)).status.writable).toBe(true);
  });

  it('is in use also where it was deleted: who has it open still is named', async () => {
    const folder = temporaryFolder();
    const child = spawn('tail', ['-f', writeFile(folder, 'journal.db', 'x')], { stdio: ['ignore', 'pipe', 'ignore'] });
    onTestFinished(() => void child.kill());
    await once(child.stdout, 'data');
    rmSync(join(folder, 'journal.db'));
    await expect(openTestDatabase(folder)).rejects.toMatchObject({
      code: 'state-in-use',
      message: expect.stringContaining(`tail (pid ${child.pid}) uses the state folder`),
    });
    child.kill();
    await once(child, 'exit');
    rmSync(folder, { recursive: true });
    expect((await openTestDatabase(folder)).status.writable).toBe(true);
  });

  it('is the other agent’s where that came when the database was deleted', async () => {
    const folder = temporaryFolder();
    const first = await openTestDatabase(folder);
    expect(await insert(first, 1)).toBeUndefined();
    for (const suffix of ['', '-wal']) rmSync(join(folder, `journal.db${suffix}`));
    const second = await openTestDatabase(folder);
    expect(second.status).toMatchObject({ writable: true, lost: 1 });
    expect(await insert(first, 2)).toMatchObject({ code: 'busy' });
    expect(first.status).toMatchObject({ writable: false, reason: expect.stringContaining('uses the state folder') });
    expect(await insert(second, 3)).toBeUndefined();
    expect(await countIn(second)).toBe(1);
  });

  it('is not used where a folder has the name of the database', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'journal.db'));
    const database = await openTestDatabase(folder);
    expect(database.status).toMatchObject({ writable: false, reason: expect.stringContaining('journal.db') });
    expect(await insert(database, 1)).toMatchObject({ code: 'busy' });
    expect(readdirSync(folder)).toEqual(['journal.db']);
  });

  it('has an identity that stays, and a new one when it is renewed', async () => {
    const folder = temporaryFolder();
    const first = await openTestDatabase(folder);
    const { identity } = first;
    expect(identity).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{12}$/), lost: null });
    await first.close();
    const second = await openTestDatabase(folder);
    expect(second.identity).toEqual(identity);
    await second.renew();
    const renewed = second.identity;
    expect(renewed?.id).not.toBe(identity?.id);
    await second.close();
    const third = await openTestDatabase(folder);
    expect(third.identity).toEqual(renewed);
    expect(third.status.lost).toBe(0);
  });
});

describe('a database in memory', () => {
  it('is written and read as one on the disk, and is gone with its agent', async () => {
    const database = await openTestDatabase(undefined);
    expect(database.persistent).toBe(false);
    expect(await insert(database, 1)).toBeUndefined();
    expect(await countIn(database)).toBe(1);
    await database.renew();
    await database.close();
    expect(await countIn(await openTestDatabase(undefined))).toBe(0);
  });
});

describe('a database whose disk does not answer at the start', () => {
  const NOT_YET = 'journal: the disk has not answered yet; commands that need it wait';

  it('is there all the same and says so; when it is opened, what waited is done as after any start', async () => {
    const { folder, answer } = unansweringFolder();
    const { log, withMessage } = recordingLog();
    const database = await openTestDatabase(folder, log, { startMs: 10 });
    expect(database.status).toMatchObject({ writable: false, reason: 'the disk has not answered yet' });
    expect(withMessage(NOT_YET)).toMatchObject([{ level: 'warn' }]);
    expect(database.identity).toBeUndefined();
    await database.probe();
    await expect(database.whileAnswering(() => countIn(database))).rejects.toMatchObject({ code: 'busy' });
    const written = insert(database, 1);
    const opened = reopened(database);
    await answer();
    expect(await opened).toEqual({ writable: true, contents: 'found' });
    expect(await written).toBeUndefined();
    expect(await database.whileAnswering(() => countIn(database))).toBe(1);
    expect(database.status).toMatchObject({ writable: true, reason: undefined, lost: 0, restarted: 0 });
    expect(database.identity).toMatchObject({ lost: null });
  });

  it('and which another process turns out to use refuses, says so, and is opened when that ends', async () => {
    const folder = temporaryFolder();
    const first = await openTestDatabase(folder);
    const { answer } = unansweringFolder(folder);
    const { log, lines, times } = recordingLog();
    const second = await openTestDatabase(folder, log, { startMs: 10, retryMs: 20 });
    const waiting = insert(second, 1);
    await answer();
    const used = expect.stringContaining(`uses the state folder ${folder}`);
    expect(await waiting).toMatchObject({ code: 'busy', message: used });
    expect(second.status).toMatchObject({ writable: false, reason: used });
    await times('journal: cannot be opened; commands that need it are refused', 1);
    expect(lines.at(-1)).toMatchObject({ level: 'error', details: { reason: used } });
    const opened = reopened(second);
    await first.close();
    expect(await opened).toMatchObject({ writable: true, contents: 'found' });
    expect(await insert(second, 2)).toBeUndefined();
    expect(await countIn(second)).toBe(1);
  });

  it('in time refuses, and answers no probe; when the disk answers it is opened by one other worker', async () => {
    const { folder, answer } = unansweringFolder();
    const database = await openTestDatabase(folder, undefined, { startMs: 10, hangMs: 1000, retryMs: 20 });
    expect(await insert(database, 1)).toMatchObject({
      code: 'busy',
      message: expect.stringContaining('the disk has not answered for 1 s'),
    });
    expect(database.status).toMatchObject({ writable: false, reason: 'the disk has not answered for 1 s' });
    await vi.waitFor(() => expect(database.probe()).rejects.toMatchObject({ code: 'busy' }), 10_000);
    const opened = reopened(database);
    await answer();
    expect(await opened).toMatchObject({ writable: true, contents: 'found' });
    await database.probe();
    expect(await insert(database, 2)).toBeUndefined();
    expect(database.status).toMatchObject({ writable: true, damaged: 0, lost: 0 });
  });

  it('is closed at once, also when nothing answers, and says that a worker hangs; and is free later', async () => {
    const { folder, answer } = unansweringFolder();
    const database = await openTestDatabase(folder, undefined, { startMs: 10 });
    const waiting = insert(database, 1);
    expect(await database.close()).toBe(false);
    expect(await waiting).toMatchObject({ code: 'busy' });
    await answer();
    await vi.waitFor(async () => expect(await database.close()).toBe(true), 10_000);
    const next = await openTestDatabase(folder);
    expect(await countIn(next)).toBe(0);
    expect(await next.close()).toBe(true);
  });
});
