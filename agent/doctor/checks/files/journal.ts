import { copyFile, mkdtemp, readFile, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ERRORS, messageOf, systemCodeOf } from '../../../../shared/errors.js';
import { type FileHolder, formatHolder, holdersOf } from '../../../base/file-holders.js';
import { DATABASE_NAME, MARKER_NAME, type Marker, readMarker } from '../../../storage/folder.js';
import { damagedFiles } from '../../../storage/set-aside.js';
import { checkStructure, connect, isDamage } from '../../../storage/sqlite.js';
import { isAgent } from '../../../transport/modem/port/port-holders.js';
import { defineCheck } from '../../check.js';
import type { Context, Status } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';

/** A larger database is not checked. */
const MAX_COPIED_BYTES = 128 * 1024 * 1024;

/** Result of the check of the database. */
type DatabaseState =
  | 'sound'
  | 'damaged'
  /** There never was one. */
  | 'absent'
  /** There was one, as its marker says. */
  | 'missing'
  /** The file is there, and has no content. */
  | 'empty'
  /** A process has it open; the running agent has checked it itself. */
  | 'in-use'
  /** This user may not read it. */
  | 'forbidden'
  | { readonly unknown: string };

interface Observation {
  readonly path: string;
  readonly database: DatabaseState;
  /** The journal as the running agent tells; undefined where none runs. */
  readonly running: Status['journal'];
  /** Processes besides the agent that have the database open. */
  readonly holders: readonly FileHolder[];
  /** Names of databases that were found damaged before. */
  readonly setAside: readonly string[];
}

/** Checks the database of the journal and the outbox. */
export const journal = defineCheck<Observation | undefined>({
  name: 'journal',
  async look(context) {
    const { stateFolder: folder } = context;
    if (folder === undefined) return undefined;
    const path = join(folder, DATABASE_NAME);
    const status = await context.status();
    return {
      path,
      database: await inspect(folder, context),
      running: status instanceof Error ? undefined : status.journal,
      holders: await otherHolders(path, status instanceof Error ? undefined : status.pid),
      setAside: listSetAside(path),
    };
  },
  judge: judgeJournal,
});

async function inspect(folder: string, context: Context): Promise<DatabaseState> {
  const path = join(folder, DATABASE_NAME);
  try {
    const bytes = await sizeOf(path);
    // The marker says when a database is being created.
    if (!bytes && readMarker(folder) === 'creating') return 'absent';
    if (bytes === undefined) return stateWithout(readMarker(folder));
    if (bytes === 0) return 'empty';
    if (await isInUse(path, context)) return 'in-use';
    const all = bytes + ((await sizeOf(`${path}-wal`)) ?? 0);
    if (all > MAX_COPIED_BYTES) return { unknown: `${all} bytes: too large to copy` };
    const found = await checkCopy(path);
    // An agent that has started meanwhile may have changed it during the copy.
    return (await isInUse(path, context)) ? 'in-use' : found;
  } catch (error) {
    return systemCodeOf(error) === 'EACCES' ? 'forbidden' : { unknown: messageOf(error) };
  }
}

const stateWithout = (marker: Marker): DatabaseState => (typeof marker === 'object' ? 'missing' : 'absent');

/** @returns undefined when there is no such file */
async function sizeOf(file: string): Promise<number | undefined> {
  return stat(file).then(
    ({ size }) => size,
    (error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      throw error;
    },
  );
}

/** Reads /proc/locks: taking the lock could keep an agent from starting. */
async function isInUse(path: string, { status }: Context): Promise<boolean> {
  if (!((await status()) instanceof Error)) return true;
  const database = await stat(path).catch(() => undefined);
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  return database !== undefined && new RegExp(`:${database.ino} `).test(locks);
}

async function otherHolders(path: string, agent: number | undefined): Promise<FileHolder[]> {
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) return [];
  return (await holdersOf([real])).filter((holder) => holder.pid !== agent && !isAgent(holder));
}

/** Checks a copy: SQLite writes beside a database even to read it, and the agent could not write root's files. */
async function checkCopy(path: string): Promise<DatabaseState> {
  const folder = await mkdtemp(join(tmpdir(), 'supersim-doctor-'));
  try {
    const copy = join(folder, DATABASE_NAME);
    for (const suffix of ['', '-wal']) {
      if (await sizeOf(path + suffix)) await copyFile(path + suffix, copy + suffix);
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

/** @param observed undefined where the configuration names no state folder */
export function judgeJournal(observed: Observation | undefined): Judgement[] {
  if (observed === undefined) return [note('journal', 'in memory only, as configured: lost when the agent ends')];
  const { path, setAside } = observed;
  const looked = `journal ${path}`;
  const judgements = [
    ...judgeDatabase(looked, observed),
    ...judgeRunning(looked, observed),
    ...judgeHolders(looked, observed),
  ];
  if (setAside.length > 0) {
    const found = `found damaged before and set aside: ${setAside.join(', ')}`;
    judgements.push(warning(looked, found, `${DISK_ERRORS} Then delete these files.`));
  }
  return judgements;
}

const DISK_ERRORS = 'Look for disk errors with `sudo dmesg`: often a failing SD card or power cuts.';
const INTERRUPTED =
  'for up to 6 min after its start the agent answers commands of which the journal may have known as `interrupted`, and does not run them';

function judgeDatabase(looked: string, { database, running, holders, path }: Observation): Judgement[] {
  switch (database) {
    case 'sound':
      return [good(looked, 'PRAGMA quick_check of a copy: ok')];
    case 'in-use':
      if (running === undefined)
        return holders.length > 0 ? [] : [good(looked, 'in use by the agent or another process: not checked')];
      return running.writable ? [good(looked, 'in use by the running agent, which checked it when it opened it')] : [];
    case 'absent':
      return [good(looked, 'does not exist yet: the agent creates it')];
    case 'missing': {
      if (running !== undefined) return [note(looked, 'deleted, while the agent has it open: it writes it again')];
      const marker = join(dirname(path), MARKER_NAME);
      const found = `the journal was lost: ${marker} tells of one, and ${DATABASE_NAME} is missing; ${INTERRUPTED}`;
      const remedy = `Find out what deleted it. If it was deleted on purpose, delete ${marker} too, before the agent starts.`;
      return [warning(looked, found, remedy)];
    }
    case 'empty':
      return [failure(looked, `the file is empty, and what it remembered is lost; ${INTERRUPTED}`, DISK_ERRORS)];
    case 'forbidden':
      return [note(looked, 'this user may not read it', 'Run it with sudo.')];
    case 'damaged': {
      const found = `PRAGMA quick_check found damage; the agent sets it aside when it starts, and ${INTERRUPTED}`;
      return [failure(looked, found, DISK_ERRORS)];
    }
    default:
      return [note(looked, `not checked: ${database.unknown}`)];
  }
}

/** Judges what the running agent has found since its start. */
function judgeRunning(looked: string, { running }: Observation): Judgement[] {
  if (running === undefined) return [];
  const { writable, reason = 'unknown', lost, rewritten, restarted } = running;
  const judgements: Judgement[] = [];
  if (!writable) {
    const found = `the running agent cannot write it: ${reason}; commands that need it are refused as busy, at the latest after 30 s`;
    const remedy =
      'Correct what the line of the disk says, or the reason; the agent tries again every 5 s. Look for a disk that hangs with `sudo dmesg`.';
    judgements.push(failure(looked, found, remedy, 'busy'));
  }
  if (lost > 0) {
    const found = `found lost ${timesOf(lost)} since the agent’s start; commands of which it may have known were answered as \`interrupted\``;
    const remedy = `The agent’s log says why (\`journal: lost\`). ${DISK_ERRORS}`;
    judgements.push(warning(looked, found, remedy));
  }
  if (rewritten > 0) {
    const found = `its files were deleted while the agent had them open, and written again ${timesOf(rewritten)}; nothing was lost`;
    judgements.push(warning(looked, found, 'Find out what deletes files in the state folder.'));
  }
  if (restarted > 0) {
    const found = `the agent’s storage worker ended or hung, and was replaced ${timesOf(restarted)}`;
    judgements.push(warning(looked, found, 'Look for a disk that hangs with `sudo dmesg`, and read the agent’s log.'));
  }
  return judgements;
}

const timesOf = (count: number): string => (count === 1 ? 'once' : `${count} times`);

function judgeHolders(looked: string, { holders }: Observation): Judgement[] {
  if (holders.length === 0) return [];
  const found = `open in ${holders.map(formatHolder).join(', ')}, which keeps the agent from starting`;
  return [note(looked, found, ERRORS['state-in-use'].remedy, 'state-in-use')];
}
