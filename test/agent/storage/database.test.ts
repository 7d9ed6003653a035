import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { openTestDatabase, told } from '../command/journal/support.js';

const INSERT = 'INSERT INTO outbox (seq, record) VALUES (?, ?)';
const COUNT = 'SELECT count(*) AS count FROM outbox';
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
const RECORD = Buffer.from('record');

describe('group commits', () => {
  it('commit the writes of one turn together and in order, and then call back each', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const order: string[] = [];
    const first = told((done) =>
      database.write(
        (c) => {
          order.push('write 1');
          c.run(INSERT, [1, RECORD]);
        },
        (error) => {
          order.push('told 1');
          done(error);
        },
      ),
    );
    const second = told((done) =>
      database.write(
        (c) => {
          order.push('write 2');
          expect(c.inTransaction).toBe(true);
          expect(c.get(COUNT)).toMatchObject({ count: 1 });
        },
        (error) => {
          order.push('told 2');
          done(error);
        },
      ),
    );
    expect(order).toEqual([]);
    expect(await Promise.all([first, second])).toEqual([undefined, undefined]);
    expect(order).toEqual(['write 1', 'write 2', 'told 1', 'told 2']);
  });

  it('commit the writes of consecutive turns together', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const order: string[] = [];
    const write = (name: string) =>
      told((done) =>
        database.write(
          () => void order.push(`write ${name}`),
          (error) => {
            order.push(`told ${name}`);
            done(error);
          },
        ),
      );
    for (let round = 0; round < 10; round++) {
      await write('alone');
      const first = write('1');
      await nextTurn();
      await Promise.all([first, write('2')]);
      expect(order.splice(0)).toEqual(['write alone', 'told alone', 'write 1', 'write 2', 'told 1', 'told 2']);
    }
  });

  it('commit in the end also when each turn brings more writes', async () => {
    const database = await openTestDatabase(temporaryFolder());
    let committed = 0;
    let turns = 0;
    for (; turns < 100 && committed === 0; turns++) {
      database.write(
        () => undefined,
        () => void committed++,
      );
      await nextTurn();
    }
    expect(turns).toBeLessThan(12);
    expect(committed).toBeGreaterThan(4);
  });

  it('refuse one row that violates a constraint, and commit the others', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const insert = (seq: number) => told((done) => database.write((c) => void c.run(INSERT, [seq, RECORD]), done));
    const [one, again, two] = await Promise.all([insert(1), insert(1), insert(2)]);
    expect([one?.code, again?.code, two?.code]).toEqual([undefined, 'busy', undefined]);
    expect(database.read((c) => c.get(COUNT))).toMatchObject({ count: 2 });
  });

  it('fail all writes of a failed group, and continue with the next', async () => {
    const database = await openTestDatabase(temporaryFolder());
    const good = () => told((done) => database.write((c) => void c.run(INSERT, [1, RECORD]), done));
    const bad = told((done) => database.write((c) => void c.run('INSERT INTO nowhere VALUES (1)'), done));
    const results = await Promise.all([good(), bad]);
    expect(results.map((error) => error?.code)).toEqual(['busy', 'busy']);
    expect(database.read((c) => c.get(COUNT))).toMatchObject({ count: 0 });
    expect(await good()).toBeUndefined();
  });

  it('commit waiting writes on close, and refuse later ones', async () => {
    const folder = temporaryFolder();
    const database = await openTestDatabase(folder);
    let late: Promise<{ code: string } | undefined> | undefined;
    database.write(
      (c) => void c.run(INSERT, [1, RECORD]),
      () => {
        late = told((done) => database.write((c) => void c.run(INSERT, [2, RECORD]), done));
      },
    );
    database.close();
    expect(await late).toMatchObject({ code: 'busy' });
    expect((await openTestDatabase(folder)).read((c) => c.get(COUNT))).toMatchObject({ count: 1 });
  });
});

describe('a state folder', () => {
  it('is created for its owner only', async () => {
    const folder = join(temporaryFolder(), 'a', 'b');
    const database = await openTestDatabase(folder);
    expect(database.persistent).toBe(true);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it('has a write-ahead log that is synced at every commit', async () => {
    const database = await openTestDatabase(temporaryFolder());
    expect(database.read((c) => c.get('PRAGMA journal_mode'))).toMatchObject({ journal_mode: 'wal' });
    expect(database.read((c) => c.get('PRAGMA synchronous'))).toMatchObject({ synchronous: 2 });
  });

  it('that cannot be used is replaced by memory with a warning', async () => {
    const { log, lines } = recordingLog();
    const database = await openTestDatabase(join(writeFile(temporaryFolder(), 'file', ''), 'folder'), log);
    expect(database.persistent).toBe(false);
    expect(lines.map(({ level }) => level)).toEqual(['warn']);
    expect(await told((done) => database.write((c) => void c.run(INSERT, [1, RECORD]), done))).toBeUndefined();
  });

  it('can be used by one agent at a time', async () => {
    const folder = temporaryFolder();
    const first = await openTestDatabase(folder);
    await expect(openTestDatabase(folder)).rejects.toMatchObject({ code: 'state-in-use' });
    first.close();
    expect((await openTestDatabase(folder)).persistent).toBe(true);
  });
});
