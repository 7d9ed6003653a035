import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { describe, expect, it, vi } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import type { Database } from '../../../agent/storage/database.js';
import { MARKER_NAME } from '../../../agent/storage/folder.js';
import { openTestDatabase, reopened } from '../../agent/command/journal/support.js';
import { lookingHandler, settled, startWired } from '../../agent/command/wired-support.js';
import { countIn, insert } from '../../agent/storage/support.js';
import { temporaryFolder } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';

/** The workers that were started, in order. */
const workers = vi.hoisted((): Worker[] => []);
vi.mock(import('node:worker_threads'), async (original) => {
  const threads = await original();
  class KnownWorker extends threads.Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      workers.push(this);
    }
  }
  return { ...threads, Worker: KnownWorker };
});

/** Ends the newest worker by an exception, after what it was asked before. */
const breakWorker = () => workers.at(-1)?.postMessage(null);

/** Has the worker wait in a call to the disk until it is let. */
function hang(folder: string, database: Database) {
  const fifo = join(folder, `${MARKER_NAME}.new`);
  execFileSync('mkfifo', [fifo]);
  const renewed = expect(database.renew()).rejects.toMatchObject({ code: 'busy' });
  return {
    renewed,
    /** Opening it for reading lets the writer go on (fifo(7)). */
    end(): void {
      execFileSync('cat', [fifo]);
      rmSync(fifo);
    },
  };
}

/** Inserts rows from `first` on, one after the other, until a time; what was acknowledged. */
async function insertUntil(database: Database, first: number, over: () => boolean): Promise<number[]> {
  const acknowledged: number[] = [];
  for (let seq = first; !over(); seq++) if ((await insert(database, seq)) === undefined) acknowledged.push(seq);
  return acknowledged;
}

/** The rows of the table that the tests use for themselves. */
const rowsIn = async (database: Database) =>
  new Set((await database.read('SELECT seq FROM outbox')).map((row) => JSON.stringify(row)));

describe('a storage worker that ends', () => {
  it('is replaced; what was on its way is written again, and nothing acknowledged is lost', async () => {
    const folder = temporaryFolder();
    const database = await openTestDatabase(folder, silentLog, { retryMs: 1 });
    let over = false;
    const writers = Array.from({ length: 10 }, (_, index) => insertUntil(database, 1 + index * 10_000, () => over));
    for (let kill = 0; kill < 4; kill++) {
      const again = reopened(database);
      breakWorker();
      expect(await again).toMatchObject({ writable: true, contents: 'kept' });
      for (let row = 0; row < 3; row++) await insert(database, 1_000_000 + 10 * kill + row);
    }
    over = true;
    const acknowledged = (await Promise.all(writers)).flat();
    expect(acknowledged.length).toBeGreaterThan(20);
    expect(database.status).toMatchObject({ writable: true, restarted: 4, lost: 0, damaged: 0 });
    await database.close();
    const rows = await rowsIn(await openTestDatabase(folder));
    expect(acknowledged.filter((seq) => !rows.has(JSON.stringify({ seq })))).toEqual([]);
  });

  it('again and again refuses writes as busy, and takes them when it stays', async () => {
    const database = await openTestDatabase(temporaryFolder(), silentLog, { retryMs: 60_000 });
    for (let times = 0; times < 10; times++) {
      const again = reopened(database);
      breakWorker();
      expect(await insert(database, times)).toBeUndefined();
      await again;
    }
    breakWorker();
    expect(await insert(database, 10)).toMatchObject({ code: 'busy' });
    await expect(database.read('SELECT 1')).rejects.toMatchObject({ code: 'busy' });
    // None can run now: that is no fault that a restart would end.
    await database.probe();
  });

  it('runs no command twice, and keeps none from its reply', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { receive, texts, reply, database } = await startWired({ handlers: [handler] });
    for (let id = 0; id < 20; id++) receive(`#${id} look`);
    breakWorker();
    await vi.waitFor(() => expect(texts()).toHaveLength(20));
    expect(texts().sort()).toEqual(Array.from({ length: 20 }, (_, id) => `#${id} ok ok`).sort());
    await settled();
    for (let id = 0; id < 20; id++) expect(String(await reply(`#${id} look`))).toBe(`#${id} repeat ok ok`);
    expect(seen).toHaveLength(20);
    expect(database.status.restarted).toBe(1);
  });
});

describe('a storage worker that hangs', () => {
  it('answers no probe, and what waits is refused; when it can be ended it is replaced, and writes succeed', async () => {
    const folder = temporaryFolder();
    const database = await openTestDatabase(folder, silentLog, { hangMs: 1500, retryMs: 20 });
    expect(await insert(database, 1)).toBeUndefined();
    const hung = hang(folder, database);
    await database.flush();
    const outstanding = insert(database, 2);
    const again = reopened(database);
    await vi.waitFor(() => expect(database.probe()).rejects.toMatchObject({ code: 'busy' }), 10_000);
    expect(await outstanding).toMatchObject({ code: 'busy' });
    expect(await insert(database, 3)).toMatchObject({ code: 'busy' });
    expect(database.status).toMatchObject({ writable: false, restarted: 1 });
    hung.end();
    await hung.renewed;
    expect(await again).toMatchObject({ writable: true, contents: 'kept' });
    await database.probe();
    expect(await insert(database, 4)).toBeUndefined();
    // What it had been asked before may have been written after all; nothing else.
    const rows = await rowsIn(database);
    rows.delete('{"seq":2}');
    expect(rows).toEqual(new Set(['{"seq":1}', '{"seq":4}']));
    expect(database.status).toMatchObject({ lost: 0, damaged: 0 });
  });

  it('is told of before that, and what need not wait is refused; what waits is done when it answers', async () => {
    const folder = temporaryFolder();
    const { log, times, withMessage } = recordingLog();
    const database = await openTestDatabase(folder, log, { silentMs: 200, retryMs: 20 });
    expect(await insert(database, 1)).toBeUndefined();
    const hung = hang(folder, database);
    await database.flush();
    const silent = 'journal: the disk does not answer; commands that need it wait';
    const outstanding = insert(database, 2);
    const busy = { code: 'busy', message: expect.stringMatching(/the disk has not answered for \d+ s$/) };
    await expect(database.whileAnswering(() => countIn(database))).rejects.toMatchObject(busy);
    await times(silent, 1);
    expect(withMessage(silent)).toMatchObject([{ level: 'warn' }]);
    expect(database.status).toMatchObject({
      writable: false,
      reason: expect.stringMatching(/^the disk has not answered for \d+ s$/),
      restarted: 0,
    });
    const begun = vi.fn(() => countIn(database));
    await expect(database.whileAnswering(begun)).rejects.toMatchObject({ code: 'busy' });
    expect(begun).not.toHaveBeenCalled();
    hung.end();
    await hung.renewed;
    expect(await outstanding).toBeUndefined();
    expect(database.status).toMatchObject({ writable: true, restarted: 0 });
    expect(await database.whileAnswering(begun)).toBe(2);
  });
});
