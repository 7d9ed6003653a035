import { copyFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf, systemCodeOf } from '../../../../shared/errors.js';
import { DATABASE_NAME } from '../../../storage/database.js';
import { LOCK_NAME } from '../../../storage/folder.js';
import { damagedFiles } from '../../../storage/set-aside.js';
import { connect, isDamage } from '../../../storage/sqlite.js';
import { defineCheck } from '../../check.js';
import type { Context } from '../../context.js';
import { fault, good, type Judgement, note, warning } from '../../finding.js';

/** A greater database is not copied to be looked at. */
const MAX_COPIED_BYTES = 128 * 1024 * 1024;

/** What became of looking into the database. */
type Database =
  | 'sound'
  | 'damaged'
  | 'absent'
  /** The agent that has it has looked itself. */
  | 'in-use'
  /** This user may not read it. */
  | 'forbidden'
  | { readonly unknown: string };

interface Seen {
  readonly path: string;
  readonly database: Database;
  /** Names of those that were found damaged before. */
  readonly setAside: readonly string[];
}

/** Whether the database of commands and of what waits to leave is sound. */
export const journal = defineCheck<Seen>({
  name: 'journal',
  async look(context) {
    const path = join(context.stateFolder, DATABASE_NAME);
    return { path, database: await lookInto(path, context), setAside: listSetAside(path) };
  },
  judge: judgeJournal,
});

async function lookInto(path: string, context: Context): Promise<Database> {
  try {
    let bytes = 0;
    for (const suffix of ['', '-wal']) bytes += await sizeOf(path + suffix);
    if (bytes === 0) return 'absent';
    if (await isInUse(context)) return 'in-use';
    if (bytes > MAX_COPIED_BYTES) return { unknown: `it has ${bytes} bytes, too many to be copied` };
    const found = await checkCopy(path);
    // An agent that started meanwhile has changed it under the copy.
    return (await isInUse(context)) ? 'in-use' : found;
  } catch (error) {
    return systemCodeOf(error) === 'EACCES' ? 'forbidden' : { unknown: messageOf(error) };
  }
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    (error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') return 0;
      throw error;
    },
  );
}

/** Without taking the lock oneself, which could keep an agent from starting. */
async function isInUse({ stateFolder, status }: Context): Promise<boolean> {
  if (!((await status()) instanceof Error)) return true;
  const lock = await stat(join(stateFolder, LOCK_NAME)).catch(() => undefined);
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  return lock !== undefined && new RegExp(`:${lock.ino} `).test(locks);
}

/** SQLite writes beside a database even to read it, and what root makes there the agent could not write. */
async function checkCopy(path: string): Promise<Database> {
  const folder = await mkdtemp(join(tmpdir(), 'supersim-doctor-'));
  try {
    const copy = join(folder, DATABASE_NAME);
    for (const suffix of ['', '-wal']) {
      if ((await sizeOf(path + suffix)) > 0) await copyFile(path + suffix, copy + suffix);
    }
    connect(copy).close();
    return 'sound';
  } catch (error) {
    if (isDamage(error)) return 'damaged';
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function listSetAside(path: string): string[] {
  try {
    return damagedFiles(path).filter((file) => !/-(?:wal|shm)$/.test(file));
  } catch {
    return [];
  }
}

export function judgeJournal({ path, database, setAside }: Seen): Judgement[] {
  const looked = `journal ${path}`;
  const judgements = [judgeDatabase(looked, database)];
  if (setAside.length > 0) {
    const found = `it was found damaged before, and set aside: ${setAside.join(', ')}`;
    const remedy =
      'Look for errors of the disk with `sudo dmesg`, mostly a failing SD card or power cuts. Then delete these files.';
    judgements.push(warning(looked, found, remedy));
  }
  return judgements;
}

function judgeDatabase(looked: string, database: Database): Judgement {
  switch (database) {
    case 'sound':
      return good(looked, 'PRAGMA quick_check of a copy found it sound');
    case 'in-use':
      return good(looked, 'the agent that runs has it, and checked it when it opened it');
    case 'absent':
      return good(looked, 'it is not there yet: the agent makes it');
    case 'forbidden':
      return note(looked, 'this user may not read it', 'Run it with sudo.');
    case 'damaged': {
      const remedy =
        'The agent sets it aside when it starts; a repeat of an old command may then run again. Look for errors of the disk with `sudo dmesg`.';
      return fault(looked, 'PRAGMA quick_check found damage', remedy);
    }
    default:
      return note(looked, `it could not be looked into: ${database.unknown}`);
  }
}
