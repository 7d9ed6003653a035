import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Libsql from 'libsql';
import { describe, expect, it, onTestFinished, test } from 'vitest';
import {
  createBroadcastState,
  discardBroadcastState,
  openBroadcastState,
  type StoredBroadcastCommand,
} from '../../../../sender/broadcast/store/state.js';
import type { BroadcastResult } from '../../../../sender/index.js';
import { fill, smallDisk } from '../../../agent/storage/support.js';
import { temporaryFolder } from '../../../support/files.js';
import { needs } from '../../../support/needs.js';
import { rejection } from '../../support.js';
import { simNames } from '../support.js';

const COMMAND: StoredBroadcastCommand = { name: 'ping', format: 'coap', get: false, devicePort: 6969 };

const done = (sim: string, result?: unknown): BroadcastResult => ({
  sim,
  outcome: 'done',
  result,
  authentic: false,
  attempts: 2,
  apiCalls: 3,
  timings: { ended: 10 },
});

const notSent = (sim: string): BroadcastResult => ({
  sim,
  outcome: 'not-sent',
  error: { code: 'not-delivered', message: 'not \ud800 attached', remedy: '', vendorCode: 83401 },
  authentic: false,
  attempts: 1,
  apiCalls: 1,
  timings: { ended: 10 },
});

async function make(sims: Iterable<string> | AsyncIterable<string> = ['a', 'b', 'c'], command = COMMAND) {
  const path = join(temporaryFolder(), 'broadcast.db');
  const state = await createBroadcastState(path, command);
  onTestFinished(() => state.close());
  const twice = await state.add(sims);
  return { path, state, twice };
}

/** What another program reads. */
function query(path: string, sql: string): unknown[] {
  const database = new Libsql(path);
  try {
    return database.prepare(sql).all([]);
  } finally {
    database.close();
  }
}

describe('the file of a broadcast', () => {
  it('keeps the SIMs in their order, each once, and their outcomes', async () => {
    const { path, state, twice } = await make(['a', 'b', 'a', 'c', 'b']);
    expect(twice).toBe(2);
    expect(state.total).toBe(3);
    await state.start('a');
    await state.start('b');
    await state.end(done('a', { on: true }));
    await state.end(notSent('b'));
    expect(state.counts()).toEqual({
      ...{ waiting: 1, done: 1, 'not-sent': 1 },
      ...{ failed: 0, refused: 0, interrupted: 0, 'no-answer': 0 },
    });
    state.close();
    expect(readdirSync(join(path, '..')).sort()).toEqual(['broadcast.db', 'broadcast.db.lock']);

    const again = await openBroadcastState(path);
    expect(again).toMatchObject({ command: COMMAND, total: 3, seed: state.seed });
    expect([...again.ended()]).toMatchObject([
      { position: 1, sim: 'a', outcome: 'done', code: null, result: '{"on":true}', authentic: 0, attempts: 2 },
      { position: 2, sim: 'b', outcome: 'not-sent', code: 'not-delivered', vendor_code: 83401, result: null },
    ]);
    expect([...again.pending()]).toMatchObject([{ position: 3, sim: 'c', started_at: null, outcome: null }]);
    again.close();
  });

  it('can be read by other programs, also while it is written', async () => {
    const { path, state } = await make();
    await state.start('a');
    await state.end(done('a'));
    const sql = 'SELECT outcome, count(*) AS n FROM sims GROUP BY outcome';
    const expected = [
      { outcome: null, n: 2 },
      { outcome: 'done', n: 1 },
    ];
    expect(query(path, sql)).toEqual(expected);
    state.close();
    const copy = join(temporaryFolder(), 'copy.db');
    copyFileSync(path, copy);
    expect(query(copy, sql)).toEqual(expected);
  });

  it('never changes an outcome', async () => {
    const { state } = await make();
    await state.end(done('a'));
    await state.end(notSent('a'));
    expect([...state.ended()]).toMatchObject([{ sim: 'a', outcome: 'done' }]);
  });

  it('returns the command as another process reads it', async () => {
    const { state, path } = await make(['a'], { ...COMMAND, params: { zero: -0, none: undefined } });
    // Not -0, which JSON does not know, and CBOR does.
    expect(state.command.params).toEqual({ zero: 0 });
    state.close();
    const again = await openBroadcastState(path);
    expect(again.command).toEqual(state.command);
    again.close();
  });

  it('reads any number of SIMs, also while some end', async () => {
    const { state } = await make(simNames(1234));
    const seen: string[] = [];
    for (const { sim } of state.pending()) {
      seen.push(sim);
      if (seen.length % 3 === 0) void state.end(done(sim));
    }
    expect(seen).toEqual(simNames(1234));
    await state.end(done('sim-1'));
    expect([...state.ended()]).toHaveLength(412);
    expect(state.canaryProgress(100)).toEqual({ ended: 34, failed: 0 });
    await state.end(notSent('sim-2'));
    expect(state.canaryProgress(100)).toEqual({ ended: 35, failed: 1 });
    expect(state.canaryProgress(1)).toEqual({ ended: 1, failed: 0 });
  });

  it('may be closed twice, and then refuses writes', async () => {
    const { state } = await make();
    const late = state.start('a');
    state.close();
    state.close();
    await late;
    expect(await rejection(state.start('b'))).toMatchObject({ code: 'bad-input' });
  });
});

describe('a file that cannot be used', () => {
  it.each<[string, (path: string) => void]>([
    ['is not there', () => undefined],
    ['is no database', (path) => writeFileSync(path, 'sim\nreturn of the list\n'.repeat(100))],
    ['is empty', (path) => writeFileSync(path, '')],
    ['is another database', (path) => query(path, 'CREATE TABLE sims (sim TEXT)')],
    [
      'is of another version',
      (path) => void query(path, 'CREATE TABLE broadcast AS SELECT 9 AS format, 1 AS seed, 1 AS command, 1 AS total'),
    ],
  ])('that %s is refused, and not changed', async (_, prepare) => {
    const path = join(temporaryFolder(), 'broadcast.db');
    prepare(path);
    const before = existsSync(path) ? readFileSync(path) : undefined;
    expect(await rejection(openBroadcastState(path))).toMatchObject({ code: 'bad-input' });
    if (before !== undefined) expect(readFileSync(path).equals(before)).toBe(true);
    expect(await rejection(openBroadcastState(path))).toMatchObject({ code: 'bad-input' });
  });

  it('that was stopped while SIMs were read is refused: nothing was sent', async () => {
    const path = join(temporaryFolder(), 'broadcast.db');
    const state = await createBroadcastState(path, COMMAND);
    state.close();
    expect(await rejection(openBroadcastState(path))).toMatchObject({
      code: 'bad-input',
      remedy: expect.stringContaining('Nothing was sent'),
    });
  });

  it('that exists is refused for a new broadcast', async () => {
    const { path, state } = await make();
    state.close();
    expect(await rejection(createBroadcastState(path, COMMAND))).toMatchObject({ code: 'bad-input' });
    expect(await rejection(createBroadcastState(join(path, 'x'), COMMAND))).toMatchObject({ code: 'bad-input' });
  });

  it('with text that is not UTF-8 is read as far as possible', async () => {
    const { path, state } = await make();
    await state.end(done('a'));
    state.close();
    query(path, "UPDATE sims SET message = CAST(x'ff41' AS TEXT)");
    const again = await openBroadcastState(path);
    expect([...again.ended()]).toMatchObject([{ message: '\ufffdA' }]);
    again.close();
    query(path, "UPDATE sims SET outcome = 'perhaps'");
    const damaged = await openBroadcastState(path);
    expect(() => [...damaged.ended()]).toThrow(expect.objectContaining({ code: 'bad-input' }));
    damaged.close();
  });

  it('that another process runs is refused until that process has ended', async () => {
    const { path, state } = await make();
    const busy = { code: 'bad-input', message: expect.stringContaining('another process') };
    expect(await rejection(openBroadcastState(path))).toMatchObject(busy);
    state.close();
    // Another process that does not close it in an orderly way.
    const program = `
      const { default: Libsql } = await import('libsql');
      const held = new Libsql(process.argv[1] + '.lock');
      held.exec('BEGIN EXCLUSIVE');
      console.log('held');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, path]);
    onTestFinished(() => void child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    expect(await rejection(openBroadcastState(path))).toMatchObject(busy);
    child.kill('SIGKILL');
    await once(child, 'exit');
    (await openBroadcastState(path)).close();
  });
});

test('discardState deletes the file after SIMs that cannot be read, and the files beside it', async () => {
  const path = join(temporaryFolder(), 'broadcast.db');
  const state = await createBroadcastState(path, COMMAND);
  const failing = (async function* () {
    yield* simNames(600);
    throw new Error('unreadable');
  })();
  expect(await rejection(state.add(failing))).toEqual(new Error('unreadable'));
  expect(await rejection(state.add(simNames(3), AbortSignal.abort()))).toMatchObject({ name: 'AbortError' });
  state.close();
  discardBroadcastState(path);
  expect(readdirSync(join(path, '..'))).toEqual([]);
});

describe.skipIf(needs('root'))('a full disk', () => {
  it('is reported, keeps what was written, and the broadcast can be resumed when there is room', async () => {
    const folder = smallDisk(512 * 1024);
    const path = join(folder, 'broadcast.db');
    const state = await createBroadcastState(path, COMMAND);
    await state.add(simNames(500));
    await state.end(done('sim-1', 'x'));
    fill(folder);
    let ended = 1;
    const failure = await rejection(
      (async () => {
        for (; ended < 500; ended++) await state.end(done(`sim-${ended + 1}`, 'x'.repeat(4000)));
      })(),
    );
    expect(failure).toMatchObject({ code: 'bad-input', message: expect.stringContaining('cannot be written') });
    expect(state.counts().done).toBe(ended);
    state.close();
    rmSync(join(folder, 'filler'));
    const again = await openBroadcastState(path);
    expect(again.counts()).toMatchObject({ done: ended, waiting: 500 - ended });
    await again.end(done('sim-500'));
    expect(again.counts().done).toBe(ended + 1);
    again.close();
  });

  it('without any room leaves no file behind', async () => {
    const folder = smallDisk(64 * 1024);
    fill(folder);
    expect(await rejection(createBroadcastState(join(folder, 'broadcast.db'), COMMAND))).toMatchObject({
      code: 'bad-input',
    });
    expect(readdirSync(folder)).toEqual(['filler']);
  });
});
