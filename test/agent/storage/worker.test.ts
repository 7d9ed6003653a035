import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createBatchPacker } from '../../../agent/storage/batch.js';
import { readMarker } from '../../../agent/storage/folder.js';
import { type Answer, type Opening, type Request, startWorker } from '../../../agent/storage/worker.js';
import { nativePath, type SqlValue } from '../../../shared/sqlite/native.js';
import { temporaryFolder } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { asAfterKill } from '../command/wired-support.js';
import { fill, smallDisk } from './support.js';

const INSERT = 'INSERT INTO outbox (seq, record) VALUES (?, ?)';
const COUNT = { sql: 'SELECT count(*) AS count FROM outbox', values: [] };

/** A worker in the test's own thread. */
async function start(folder?: string) {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const waiting: ((message: Opening | Answer) => void)[] = [];
  const next = <T extends Opening | Answer>(isWanted: (message: Opening | Answer) => message is T) =>
    new Promise<T>((resolve, reject) => {
      waiting.push((message) => (isWanted(message) ? resolve(message) : reject(new Error(message.kind))));
    });
  port1.on('message', (message: Opening | Answer) => waiting.shift()?.(message));
  const opening = next((message): message is Opening => message.kind !== 'answer');
  startWorker(port2, { folder, native: nativePath(), writeBack: false });
  const packer = createBatchPacker();
  const ask = (request: Request) => {
    const answer = next((message): message is Answer => message.kind === 'answer');
    port1.postMessage(request);
    return answer;
  };
  return {
    opening: await opening,
    port: port1,
    ask,
    batch(statements: readonly (readonly [sql: string, values: readonly SqlValue[]])[], queries = [COUNT]) {
      packer.reuse(undefined);
      for (const [sql, values] of statements) packer.run(sql, values);
      return ask({ kind: 'batch', ...packer.take(), queries, count: 0 });
    },
  };
}

const row = (seq: number) => [INSERT, [seq, Buffer.from('x')]] as const;

describe('the storage worker', () => {
  it('opens the database, runs batches in one transaction each, and then queries', async () => {
    const { opening, batch } = await start(temporaryFolder());
    expect(opening).toMatchObject({ kind: 'opened', writable: true, created: true, marker: undefined });
    expect(await batch([row(1), row(2)])).toMatchObject({ failure: undefined, results: [[{ count: 2 }]] });
    const failed = await batch([row(3), ['INSERT INTO nowhere VALUES (1)', []]]);
    expect(failed).toMatchObject({ failure: { kind: 'write' }, results: [[{ count: 2 }]] });
    expect(await batch([row(3)])).toMatchObject({ failure: undefined, results: [[{ count: 3 }]] });
    expect((await batch([row(4)])).memory).toBeInstanceOf(ArrayBuffer);
  });

  it('answers a query that fails with why, and the others with their rows', async () => {
    const { batch } = await start();
    const { results } = await batch([], [COUNT, { sql: 'SELECT nothing', values: [] }, COUNT]);
    expect(results).toMatchObject([
      [{ count: 0 }],
      { kind: 'write', reason: expect.stringContaining('nothing') },
      [{ count: 0 }],
    ]);
  });

  it('tells why it cannot open the database', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    const { opening } = await start(join(folder, 'file', 'folder'));
    expect(opening).toMatchObject({ kind: 'not-opened', inUse: false, reason: expect.stringContaining('ENOTDIR') });
    await start(folder);
    expect((await start(folder)).opening).toMatchObject({ kind: 'not-opened', inUse: true });
  });

  it('marks the folder, checks the database, and closes it', async () => {
    const folder = temporaryFolder();
    const { ask, batch } = await start(folder);
    expect(await ask({ kind: 'mark', marker: { id: '0123456789ab' } })).toMatchObject({ failure: undefined });
    expect(readMarker(folder)).toEqual({ id: '0123456789ab' });
    expect(await ask({ kind: 'check' })).toMatchObject({ failure: undefined });
    expect(await ask({ kind: 'close' })).toMatchObject({ failure: undefined });
    expect(await batch([row(1)])).toMatchObject({ failure: { kind: 'write' } });
  });

  it.each([
    ['its database was deleted', (folder: string) => rmSync(join(folder, 'journal.db')), 'rewritten'],
    ['its log was deleted', (folder: string) => rmSync(join(folder, 'journal.db-wal')), 'rewritten'],
    ['its folder was deleted', (folder: string) => rmSync(folder, { recursive: true }), 'rewritten'],
    [
      'its database was replaced',
      (folder: string) => {
        writeFileSync(join(folder, 'other'), 'other');
        renameSync(join(folder, 'other'), join(folder, 'journal.db'));
      },
      'rewritten',
    ],
  ])('writes it again where %s, and must be replaced', async (_, lose, kind) => {
    const folder = temporaryFolder();
    const { batch } = await start(folder);
    await batch([row(1)]);
    lose(folder);
    expect(await batch([row(2)])).toMatchObject({ failure: { kind }, results: [{ kind }] });
    // A copy, as compiled statements keep the files of this one locked.
    const next = await start(asAfterKill(folder));
    expect(next.opening).toMatchObject({ kind: 'opened', created: false });
    expect(await next.batch([row(2)])).toMatchObject({ failure: undefined, results: [[{ count: 2 }]] });
  });

  it.skipIf(needs('root'))('says that it is lost where the disk has no room to write it again', async () => {
    const folder = smallDisk(256 * 1024);
    const { batch } = await start(folder);
    await batch([[INSERT, [1, Buffer.alloc(50_000)]]]);
    fill(folder);
    rmSync(join(folder, 'journal.db'));
    expect(await batch([row(2)])).toMatchObject({ failure: { kind: 'lost' } });
  });

  it('sets a damaged database aside', async () => {
    const folder = temporaryFolder();
    const { ask } = await start(folder);
    const { failure } = await ask({ kind: 'set-aside', cause: 'a reader found it' });
    expect(failure).toMatchObject({
      kind: 'damaged',
      reason: expect.stringMatching(/^a reader found it; set aside as /),
    });
    expect((await start(folder)).opening).toMatchObject({ kind: 'opened', created: true });
  });

  it('touches no file after a failure for which it must be replaced', async () => {
    const folder = temporaryFolder();
    const { ask, batch } = await start(folder);
    await batch([row(1)]);
    const { failure } = await ask({ kind: 'set-aside', cause: 'a reader found it' });
    const names = readdirSync(folder);
    expect(await batch([row(2)])).toMatchObject({ failure, results: [failure] });
    expect(await ask({ kind: 'check' })).toMatchObject({ failure });
    expect(readdirSync(folder)).toEqual(names);
  });

  it('ends when it is told to, after what it was asked before', async () => {
    const { port, batch } = await start();
    const last = batch([row(1)]);
    const closed = new Promise<void>((resolve) => port.once('close', resolve));
    port.postMessage({ kind: 'end' });
    expect(await last).toMatchObject({ results: [[{ count: 1 }]] });
    await closed;
  });
});
