import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openOutbox } from '../../../agent/command/outbox/outbox.js';
import type { Database } from '../../../agent/storage/database.js';
import { MARKER_NAME } from '../../../agent/storage/folder.js';
import { temporaryFolder } from '../../support/files.js';
import { command, keyOf, openTestJournal, standingClock, told } from '../command/journal/support.js';

/** Writes a row into a table that the tests of the storage use for themselves. */
export const insert = (database: Database, seq: number) =>
  told((done) =>
    database.write((run) => run('INSERT INTO outbox (seq, record) VALUES (?, ?)', [seq, Buffer.from('record')]), done),
  );

/** Counts these rows. */
export const countIn = async (database: Database): Promise<unknown> => {
  const [row] = await database.read('SELECT count(*) AS count FROM outbox');
  return typeof row === 'object' && row !== null && 'count' in row ? row.count : undefined;
};

/** Creates a state folder with commands in every state, and waiting replies. */
export async function filledFolder(): Promise<string> {
  const folder = temporaryFolder();
  const { database, journal } = await openTestJournal(folder);
  const outbox = await openOutbox(database, standingClock().clock);
  for (let id = 0; id < 60; id++) {
    journal.accept(command(id, { request: Buffer.alloc(20 + 19 * id, 65) }), () => undefined);
    if (id % 3 > 0) journal.start(keyOf(id), () => undefined);
    if (id % 3 > 1) journal.finish(keyOf(id), { outcome: 'done', reply: Buffer.alloc(10 * id, 66) });
    outbox.push({
      bytes: Buffer.alloc(id),
      destination: { address: '100.64.0.1', port: 6969 },
      port: 1,
      kind: 'reply',
      expiresAt: 2e12,
    });
  }
  await database.close();
  return folder;
}

/** A state folder whose disk does not answer the next one who opens the database in it, until it is let; for one only. */
export function unansweringFolder(folder = temporaryFolder()) {
  const marker = join(folder, MARKER_NAME);
  const copy = `${marker}.copy`;
  writeFileSync(copy, existsSync(marker) ? readFileSync(marker) : 'new\n');
  rmSync(marker, { force: true });
  execFileSync('mkfifo', [marker]);
  return {
    folder,
    /** Opening it for writing lets the reader go on (fifo(7)). Later readers find the file as it was. */
    async answer(): Promise<void> {
      const pipe = await open(marker, 'w');
      const text = readFileSync(copy);
      renameSync(copy, marker);
      await pipe.write(text);
      await pipe.close();
    },
  };
}

/** Mounts a disk of this size; needs root. */
export function smallDisk(bytes: number): string {
  const folder = temporaryFolder();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  onTestFinished(() => void execFileSync('umount', ['-l', folder]));
  return folder;
}

/** Fills a small disk with the file `filler`. */
export function fill(folder: string): void {
  try {
    writeFileSync(join(folder, 'filler'), Buffer.alloc(8 * 1024 * 1024));
  } catch {
    // The disk is full, as intended.
  }
}

/**
 * Changes bytes of a file in place, as a failing disk does; by another process: to close it in this one would release
 * its locks (fcntl(2), "Advisory record locking").
 */
export function changeInPlace(path: string, from: string, to: string): void {
  const program = `
    const { readFileSync, writeFileSync } = require('node:fs');
    const [, path, from, to] = process.argv;
    const bytes = readFileSync(path, 'latin1');
    if (!bytes.includes(from)) throw new Error('the file does not have it');
    writeFileSync(path, bytes.replaceAll(from, to), { encoding: 'latin1', flag: 'r+' });
  `;
  execFileSync(process.execPath, ['-e', program, path, from, to]);
}
