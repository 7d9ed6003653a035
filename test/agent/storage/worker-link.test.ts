import { describe, expect, it, onTestFinished } from 'vitest';
import { startWorkerLink } from '../../../agent/storage/worker-link.js';
import { nativePath } from '../../../shared/sqlite/native.js';
import { temporaryFolder } from '../../support/files.js';

function start(folder: string | undefined, hangMs = 20_000) {
  const link = startWorkerLink({ folder, native: nativePath(), writeBack: false }, hangMs);
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
    const link = start(undefined, 1);
    await expect(link.opening).rejects.toThrow('the disk has not answered for 0.001 s');
    await expect(link.ask(CHECK)).rejects.toThrow('has not answered');
    await link.end();
  });
});
