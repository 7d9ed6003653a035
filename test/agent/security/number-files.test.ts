import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  NUMBER_FILES,
  type NumberDisk,
  openNumberFiles,
  type StoredNumbers,
} from '../../../agent/security/number-files.js';
import { MAX_SEQUENCE_NUMBER } from '../../../shared/oscore/sequence-number.js';
import { deferred } from '../../support/deferred.js';
import { openDescriptors } from '../../support/descriptors.js';
import { temporaryFolder } from '../../support/files.js';
import { SEED } from '../../support/seed.js';

const [FIRST, SECOND] = NUMBER_FILES;
const exact = (last: number): StoredNumbers => ({ last, isExact: true });
const below = (last: number): StoredNumbers => ({ last, isExact: false });

/** Opens the files, and closes them at the end of the test. */
function open(folder: string, disk?: NumberDisk) {
  const store = openNumberFiles(folder, disk);
  onTestFinished(() => store.close());
  return store;
}

const openCount = (): number => openDescriptors(process.pid).length;

/** What a run that begins now finds. */
function foundIn(folder: string): StoredNumbers | undefined {
  const store = openNumberFiles(folder);
  store.close();
  return store.found;
}

/** The line that is written for numbers. */
async function lineOf(stored: StoredNumbers): Promise<string> {
  const folder = temporaryFolder();
  await open(folder).write(stored);
  return readFileSync(join(folder, FIRST), 'utf8');
}

const fill = (folder: string, first: string, second: string) => {
  writeFileSync(join(folder, FIRST), first);
  writeFileSync(join(folder, SECOND), second);
};

/** A disk that works, but for what is replaced. */
const diskWith = (replaced: Partial<NumberDisk>): NumberDisk => ({
  write: async (file, bytes) => ({ bytesWritten: writeSync(file, bytes, 0, bytes.length, 0) }),
  sync: async () => undefined,
  ...replaced,
});

describe('the number files', () => {
  it('have nothing in a new folder, which is made for their owner alone', () => {
    const folder = join(temporaryFolder(), 'state', 'deep');
    expect(open(folder).found).toBeUndefined();
    expect(NUMBER_FILES.map((name) => statSync(join(folder, name)).mode & 0o777)).toEqual([0o600, 0o600]);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it('have what was written last, both of them', async () => {
    const folder = temporaryFolder();
    const store = open(folder);
    for (const stored of [below(8191), below(1_000_000_000), exact(7), below(MAX_SEQUENCE_NUMBER + 8192)]) {
      await store.write(stored);
      expect(foundIn(folder)).toEqual(stored);
      expect(readFileSync(join(folder, FIRST))).toEqual(readFileSync(join(folder, SECOND)));
    }
  });

  it.each(NUMBER_FILES)('lose nothing when %s is deleted, emptied or torn', async (name) => {
    const folder = temporaryFolder();
    await open(folder).write(below(123_456));
    const line = readFileSync(join(folder, name));
    const damages = [
      () => rmSync(join(folder, name)),
      () => truncateSync(join(folder, name)),
      ...Array.from({ length: line.length }, (_, length) => () => truncateSync(join(folder, name), length)),
    ];
    for (const damage of damages) {
      damage();
      expect(foundIn(folder)).toEqual(below(123_456));
      writeFileSync(join(folder, name), line);
    }
  });

  it('have nothing when both are lost', async () => {
    const folder = temporaryFolder();
    await open(folder).write(below(123_456));
    fill(folder, '', '\0'.repeat(32));
    expect(foundIn(folder)).toBeUndefined();
  });

  it('are not believed once a bit has flipped', async () => {
    const folder = temporaryFolder();
    const line = await lineOf(exact(5000));
    for (let at = 0; at < line.length; at++) {
      const bytes = Buffer.from(line);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      fill(folder, bytes.toString('latin1'), '');
      expect(foundIn(folder), `byte ${at}`).toBeUndefined();
    }
  });

  it('have the numbers although there is something behind them, which nothing would take away', async () => {
    const folder = temporaryFolder();
    fill(folder, `${await lineOf(exact(5000))}${'x'.repeat(100)}\n`, '');
    expect(foundIn(folder)).toEqual(exact(5000));
  });

  it('have the higher number where a write was cut short between them', async () => {
    const folder = temporaryFolder();
    const numbers = fc.record({ last: fc.integer({ min: 0, max: MAX_SEQUENCE_NUMBER }), isExact: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(numbers, numbers, async (one, other) => {
        fill(folder, await lineOf(one), await lineOf(other));
        const found = foundIn(folder);
        expect(found?.last).toBe(Math.max(one.last, other.last));
      }),
      { seed: SEED, numRuns: 20 },
    );
  });

  it('count as reserved where one says that the number was drawn and the other that it was reserved', async () => {
    const folder = temporaryFolder();
    const lines = [await lineOf(exact(100)), await lineOf(below(100))] as const;
    fill(folder, lines[0], lines[1]);
    expect(foundIn(folder)).toEqual(below(100));
    fill(folder, lines[1], lines[0]);
    expect(foundIn(folder)).toEqual(below(100));
  });

  it('are written and synced one after the other', async () => {
    const steps: string[] = [];
    const store = open(
      temporaryFolder(),
      diskWith({
        write: async (_, bytes) => {
          steps.push('write');
          return { bytesWritten: bytes.length };
        },
        sync: async () => void steps.push('sync'),
      }),
    );
    await store.write(below(1));
    expect(steps).toEqual(['write', 'sync', 'write', 'sync']);
  });

  it.each<[string, Partial<NumberDisk>]>([
    ['cannot be written', { write: () => Promise.reject(new Error('ENOSPC')) }],
    ['take a part of the line', { write: async (_, { length }) => ({ bytesWritten: length - 1 }) }],
    ['cannot be synced', { sync: () => Promise.reject(new Error('EIO')) }],
  ])('do not say that numbers are stored when they %s', async (_, fault) => {
    const folder = temporaryFolder();
    await expect(open(folder, diskWith(fault)).write(below(1))).rejects.toThrow();
    expect(readFileSync(join(folder, SECOND), 'utf8')).toBe('');
  });

  it('are not written to any more by a write that hung until they were closed', async () => {
    const folder = temporaryFolder();
    const { promise, resolve } = deferred();
    const store = openNumberFiles(folder, diskWith({ sync: () => promise }));
    const writing = store.write(exact(5));
    store.close();
    // The next run, which uses them meanwhile.
    await open(folder).write(below(9000));
    resolve();
    await expect(writing).rejects.toThrow('closed');
    await expect(store.write(exact(6))).rejects.toThrow('closed');
    expect(foundIn(folder)).toEqual(below(9000));
  });

  it('leave no descriptor open, also when they are closed twice or while they are written', async () => {
    const folder = temporaryFolder();
    const before = openCount();
    const { promise, resolve } = deferred();
    const store = openNumberFiles(folder, diskWith({ sync: () => promise }));
    const writing = store.write(exact(5));
    store.close();
    expect(openCount()).toBe(before + 2);
    resolve();
    await expect(writing).rejects.toThrow();
    store.close();
    expect(openCount()).toBe(before);
  });

  it('cannot be opened where a folder has the name of one', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, SECOND));
    const before = openCount();
    expect(() => openNumberFiles(folder)).toThrow(expect.objectContaining({ code: 'EISDIR' }));
    expect(openCount()).toBe(before);
  });
});
