import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MARKER_NAME } from '../../../agent/storage/folder.js';
import { type LinkLimits, startWorkerLink } from '../../../agent/storage/worker-link.js';
import { nativePath } from '../../../shared/sqlite/native.js';
import { temporaryFolder } from '../../support/files.js';

function start(folder: string | undefined, limits: Partial<LinkLimits> = {}) {
  const setup = { folder, native: nativePath(), writeBack: false };
  const link = startWorkerLink(setup, { hangMs: 20_000, silentMs: 20_000, onSilent: () => undefined, ...limits });
  onTestFinished(() => link.end());
  return link;
}

const CHECK = { kind: 'check' } as const;

describe('the link to a storage worker', () => {
  it('gives how the database was opened, and the answers in the order of the requests', async () => {
    const link = start(temporaryFolder());
    expect(await link.opening).toMatchObject({ kind: 'opened', writable: true });
    const order: string[] = [];
    const note = (name: string) => link.ask(CHECK).then(() => order.push(name));
    await Promise.all(['first', 'second', 'third'].map(note));
    expect(order).toEqual(['first', 'second', 'third']);
  });

  it('may be asked before the database is open', async () => {
    const link = start(undefined);
    expect(await link.ask(CHECK)).toMatchObject({ kind: 'answer', failure: undefined });
  });

  it('that is ended rejects what it was asked, and has closed its files then', async () => {
    const folder = temporaryFolder();
    const link = start(folder);
    await link.opening;
    const asked = expect(link.ask(CHECK)).rejects.toThrow('was ended');
    await link.end();
    await asked;
    await expect(link.ask(CHECK)).rejects.toThrow('was ended');
    expect(await start(folder).opening).toMatchObject({ kind: 'opened', created: false });
  });

  it('that is ended before it has opened the database rejects that', async () => {
    const link = start(temporaryFolder());
    const opening = expect(link.opening).rejects.toThrow('was ended');
    await link.end();
    await opening;
  });

  it('rejects when no answer comes in time, and then everything', async () => {
    // No worker starts so fast.
    const link = start(undefined, { hangMs: 1 });
    await expect(link.opening).rejects.toThrow('the disk has not answered for 0.001 s');
    await expect(link.ask(CHECK)).rejects.toThrow('has not answered');
    await link.end();
  });

  it('tells when an answer is due for long, and takes that back when it comes', async () => {
    const folder = temporaryFolder();
    let tell = () => undefined;
    const silent = new Promise<undefined>((resolve) => {
      tell = () => void resolve(undefined);
    });
    const link = start(folder, { silentMs: 50, onSilent: () => tell() });
    await link.opening;
    expect(link.silentSince).toBeUndefined();
    const pipe = join(folder, `${MARKER_NAME}.new`);
    execFileSync('mkfifo', [pipe]);
    const asked = performance.now();
    const marked = link.ask({ kind: 'mark', marker: 'creating' });
    const behind = link.ask(CHECK);
    await silent;
    expect(link.silentSince).toBeGreaterThanOrEqual(asked);
    // Opening it for reading lets the writer go on (fifo(7)).
    execFileSync('cat', [pipe]);
    await Promise.all([marked, behind]);
    expect(link.silentSince).toBeUndefined();
  });
});
