import { copyFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf, systemCodeOf } from '../../../../shared/errors.js';
import { DATABASE_NAME } from '../../../storage/folder.js';
import { damagedFiles } from '../../../storage/set-aside.js';
import { checkStructure, connect, isDamage } from '../../../storage/sqlite.js';
import { defineCheck } from '../../check.js';
import type { Context } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';

/** A larger database is not checked. */
const MAX_COPIED_BYTES = 128 * 1024 * 1024;

/** Result of the check of the database. */
type DatabaseState =
  | 'sound'
  | 'damaged'
  | 'absent'
  /** The running agent has it open, and has checked it itself. */
  | 'in-use'
  /** This user may not read it. */
  | 'forbidden'
  | { readonly unknown: string };

interface Observation {
  readonly path: string;
  readonly database: DatabaseState;
  /** Names of databases that were found damaged before. */
  readonly setAside: readonly string[];
}

/** Checks the database of the journal and the outbox. */
export const journal = defineCheck<Observation>({
  name: 'journal',
  async look(context) {
    const path = join(context.stateFolder, DATABASE_NAME);
    return { path, database: await inspect(path, context), setAside: listSetAside(path) };
  },
  judge: judgeJournal,
});

async function inspect(path: string, context: Context): Promise<DatabaseState> {
  try {
    let bytes = 0;
    for (const suffix of ['', '-wal']) bytes += await sizeOf(path + suffix);
    if (bytes === 0) return 'absent';
    if (await isInUse(context)) return 'in-use';
    if (bytes > MAX_COPIED_BYTES) return { unknown: `${bytes} bytes: too large to copy` };
    const found = await checkCopy(path);
    // An agent that has started meanwhile may have changed it during the copy.
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

/** Reads /proc/locks: taking the lock could keep an agent from starting. */
async function isInUse({ stateFolder, status }: Context): Promise<boolean> {
  if (!((await status()) instanceof Error)) return true;
  const database = await stat(join(stateFolder, DATABASE_NAME)).catch(() => undefined);
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  return database !== undefined && new RegExp(`:${database.ino} `).test(locks);
}

/** Checks a copy: SQLite writes beside a database even to read it, and the agent could not write root's files. */
async function checkCopy(path: string): Promise<DatabaseState> {
  const folder = await mkdtemp(join(tmpdir(), 'supersim-doctor-'));
  try {
    const copy = join(folder, DATABASE_NAME);
    for (const suffix of ['', '-wal']) {
      if ((await sizeOf(path + suffix)) > 0) await copyFile(path + suffix, copy + suffix);
    }
    const connection = connect(copy);
    try {
      checkStructure(connection);
    } finally {
      connection.close();
    }
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

export function judgeJournal({ path, database, setAside }: Observation): Judgement[] {
  const looked = `journal ${path}`;
  const judgements = [judgeDatabase(looked, database)];
  if (setAside.length > 0) {
    const found = `found damaged before and set aside: ${setAside.join(', ')}`;
    const remedy =
      'Look for disk errors with `sudo dmesg`: often a failing SD card or power cuts. Then delete these files.';
    judgements.push(warning(looked, found, remedy));
  }
  return judgements;
}

function judgeDatabase(looked: string, database: DatabaseState): Judgement {
  switch (database) {
    case 'sound':
      return good(looked, 'PRAGMA quick_check of a copy: ok');
    case 'in-use':
      return good(looked, 'in use by the running agent, which checked it when it opened it');
    case 'absent':
      return good(looked, 'does not exist yet: the agent creates it');
    case 'forbidden':
      return note(looked, 'this user may not read it', 'Run it with sudo.');
    case 'damaged': {
      const remedy =
        'The agent sets it aside when it starts; a repeat of an old command may then run again. Look for disk errors with `sudo dmesg`.';
      return failure(looked, 'PRAGMA quick_check found damage', remedy);
    }
    default:
      return note(looked, `not checked: ${database.unknown}`);
  }
}
