/** Shared by the benchmarks of the journal: agents with a state folder on a disk, their load, and what they wrote. */
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { folder, startAgent } from '../lib/support.mjs';

/** The database in the agent's state folder. */
export const DATABASE_NAME = 'journal.db';
const LOAD_MS = 60_000;
/** A journalled command is lost after this time: a disk may be busy for long. */
export const LOST_AFTER_MS = 5000;
/** All is kept, so that nothing is deleted while a rate is measured. */
const KEEP_ALL = { entries: 1_000_000, bytes: 1_073_741_824 };
/**
 * As many commands as the journal keeps whole; of those before it keeps what is needed to know them again. An agent that
 * keeps nothing else refuses as busy when it has so many, unless BENCH_ENTRIES says 1000000.
 */
export const REMEMBERING = { entries: Number(process.env['BENCH_ENTRIES'] ?? 10_000), bytes: 1_073_741_824 };

const handler = (/** @type {boolean} */ idempotent) => `export const work = {
  name: 'work', description: 'Does its work', idempotent: ${idempotent}, run: () => 'done',
};
`;

/** Magic numbers of file systems, as statfs(2) gives them. */
const FILE_SYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0xf2f52010, 'f2fs'],
  [0x794c7630, 'overlayfs'],
]);
const IN_MEMORY = [0x01021994, 0x858458f6];

/** Returns what file system the state folders are on, which must not be one in memory. */
export function diskName() {
  const { type } = statfsSync(folder);
  if (IN_MEMORY.includes(type)) throw new Error(`${folder} is in memory: set TMPDIR to a folder on a disk`);
  return FILE_SYSTEMS.get(type) ?? `type 0x${type.toString(16)}`;
}

/** Returns a folder of this name that is new. @param {string} name */
export function freshFolder(name) {
  const path = join(folder, name);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/**
 * Starts an agent that journals: log level warn, and the handler `work`, which is not idempotent and returns a word.
 *
 * @param {string} state its state folder
 * @param {{ program?: string | undefined, journal?: Record<string, unknown>, env?: Record<string, string>, level?: 'info' | 'warn', limits?: Record<string, number>, idempotent?: boolean, control?: string, handlers?: Record<string, unknown> }} [options] `idempotent`: then its commands are not journalled
 */
export function startJournalAgent(
  state,
  {
    program,
    journal = KEEP_ALL,
    env = {},
    level = 'warn',
    limits = {},
    idempotent = false,
    control,
    handlers = {},
  } = {},
) {
  const module = join(folder, 'work.mjs');
  writeFileSync(module, handler(idempotent), { mode: 0o600 });
  return startAgent({
    ...(program !== undefined && { program }),
    level,
    config: {
      modules: [module],
      state: { folder: state },
      journal,
      limits,
      handlers,
      ...(control && { control: { socket: control } }),
    },
    env,
  });
}

/**
 * Has a load generator send so many commands to `work`, from a port of its own.
 *
 * @param {Load} load
 * @param {{ address: string, port: number }} to
 * @param {number} commands
 * @param {number} inFlight
 */
export async function sendWork(load, { address, port }, commands, inFlight) {
  const job = /** @type {const} */ ({ kind: 'round-trips', format: 'json', ms: LOAD_MS, lostAfterMs: LOST_AFTER_MS });
  const result = await load.run({ ...job, inFlight, address, port, commands });
  const { commands: count, lost, errors } = result;
  if (count < commands || lost > 0 || errors > 0)
    throw new Error(`of ${commands} commands ${count} were answered, ${errors} by an error, ${lost} were lost`);
  return result;
}

/** @typedef {ReturnType<typeof import('../lib/support.mjs').startLoad>} Load */

/**
 * Returns how many rows a stopped agent's database has, and how long they are in the mean.
 *
 * @param {string} state
 * @param {'live = 1' | 'live = 0' | 'true'} [which]
 */
export function readRows(state, which = 'true') {
  const database = new Database(join(state, DATABASE_NAME));
  const rows = /** @type {{ count: number, live: number, record: number, progress: number }} */ (
    database
      .prepare(
        `SELECT count(*) AS count, total(live) AS live, avg(length(record)) AS record, avg(length(progress)) AS progress FROM command WHERE ${which}`,
      )
      .get([])
  );
  database.close();
  return rows;
}

/**
 * Returns the bytes that a process has written to disks, and by write calls of any kind.
 *
 * @param {number} pid
 */
export function writtenBytes(pid) {
  const io = readFileSync(`/proc/${pid}/io`, 'utf8');
  const [disk = 0, calls = 0] = ['write_bytes', 'wchar'].map((name) =>
    Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(io)?.[1]),
  );
  return { disk, calls };
}

/** The files of a database that exist. @param {string} state */
export const databaseFiles = (state) =>
  ['', '-wal'].map((suffix) => join(state, DATABASE_NAME + suffix)).filter((path) => existsSync(path));
