import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Database from 'libsql';
import { cpuSeconds } from './proc.mjs';
import { atLeast, folder, median, startAgent, startLoad } from './support.mjs';

const ROUNDS = 7;
/** Not counted. With what is counted they must stay below the 16,384 commands that the agent remembers. */
const WARM_UP = 3000;
const COMMANDS = 12_000;
const IN_FLIGHT = [64, 256];
const LOAD_MS = 60_000;
const COMMITS = fileURLToPath(new URL('commits.mjs', import.meta.url));
/** The database in the agent's state folder. */
const DATABASE_NAME = 'journal.db';
/** Rows made by hand may be this much longer or shorter than the agent's. */
const TOLERANCE = 0.05;

/** Magic numbers of file systems, as statfs(2) gives them. */
const FILE_SYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0xf2f52010, 'f2fs'],
  [0x794c7630, 'overlayfs'],
]);
const IN_MEMORY = [0x01021994, 0x858458f6];

export const title = 'JournalHandle commands';
export const method = `${COMMANDS.toLocaleString('en')} JSON-RPC commands, after ${WARM_UP.toLocaleString('en')} that are not counted, each with an id of its own, to a handler that is not idempotent and returns a word; log level warn, ${IN_FLIGHT.join(' or ')} on their way; against a program that writes rows of the same lengths, made beforehand, with the same settings of SQLite, in commits of as many: one transaction that inserts them as started, one that updates them to done; ${ROUNDS} rounds of each, in turn, each with a fresh agent and a fresh database; medians, the ratio taken round by round. That every command lies in the agent's database as done, and how long its rows are, is checked after each round`;

const HANDLER = `export const work = { name: 'work', description: 'Does its work', run: () => 'done' };
`;

/** @typedef {{ count: number, live: number, key: number, record: number, progress: number }} Rows */

export async function run() {
  const { type } = statfsSync(folder);
  const disk = FILE_SYSTEMS.get(type) ?? `type 0x${type.toString(16)}`;
  if (IN_MEMORY.includes(type)) throw new Error(`${folder} is in memory: set TMPDIR to a folder on a disk`);
  console.log(`  the state folder is on ${disk}`);
  const findings = [];
  for (const inFlight of IN_FLIGHT) {
    /** @type {{ agent: Awaited<ReturnType<typeof journalled>>, bare: Awaited<ReturnType<typeof bareCommits>> }[]} */
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      const agent = await journalled(inFlight);
      const bare = await bareCommits(inFlight);
      compareRows(agent.rows, bare.rows);
      rounds.push({ agent, bare });
    }
    const of = (/** @type {(round: typeof rounds[number]) => number} */ figure) =>
      median(rounds.map(figure)).toFixed(0);
    const each = rounds.map(({ agent, bare }) => agent.perSecond / bare.perSecond);
    console.log(
      `  ${inFlight} in flight: agent ${of(({ agent }) => agent.perSecond)}/s, bare ${of(({ bare }) => bare.perSecond)}/s in ${of(({ bare }) => bare.commits)} commits/s; agent/bare by round: ${each.map((ratio) => ratio.toFixed(2)).join(' ')}`,
    );
    findings.push(
      atLeast(
        `journalled commands with ${inFlight} in flight, on ${disk}, against bare group commits`,
        median(each),
        0.6,
        (ratio) => ratio.toFixed(2),
      ),
    );
  }
  return findings;
}

/** A folder of this name that is new. @param {string} name */
function freshFolder(name) {
  const path = join(folder, name);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/**
 * Sends journalled commands to a fresh agent with a fresh state folder.
 *
 * @param {number} inFlight
 * @param {string} [program] of another build
 */
export async function journalled(inFlight, program) {
  const state = freshFolder('state');
  const module = join(folder, 'work.mjs');
  writeFileSync(module, HANDLER, { mode: 0o600 });
  const agent = await startAgent({
    ...(program !== undefined && { program }),
    level: 'warn',
    config: { modules: [module], state: { folder: state }, journal: { entries: 1_000_000, bytes: 1_073_741_824 } },
  });
  const load = startLoad();
  const { address, port } = agent;
  const answered = async (/** @type {number} */ commands) => {
    const job = /** @type {const} */ ({ kind: 'round-trips', format: 'json', inFlight, ms: LOAD_MS, address, port });
    const result = await load.run({ ...job, commands });
    const { commands: count, lost, errors } = result;
    if (count < commands || lost > 0 || errors > 0)
      throw new Error(`of ${commands} commands ${count} were answered, ${errors} by an error, ${lost} were lost`);
    return result.perSecond;
  };
  await answered(WARM_UP);
  const before = cpuSeconds(agent.pid);
  const perSecond = await answered(COMMANDS);
  const cpuMicroseconds = ((cpuSeconds(agent.pid) - before) / COMMANDS) * 1e6;
  await load.stop();
  await agent.stop();
  const rows = readRows(join(state, DATABASE_NAME));
  if (rows.count !== WARM_UP + COMMANDS || rows.live > 0)
    throw new Error(`the journal has ${rows.count} commands, ${rows.live} of which have not ended`);
  return { perSecond, cpuMicroseconds, rows };
}

/** @param {number} inFlight */
async function bareCommits(inFlight) {
  const bare = freshFolder('bare');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [COMMITS, bare, ...[inFlight, WARM_UP, COMMANDS].map(String)],
    { timeout: LOAD_MS },
  );
  /** @type {{ perSecond: number, commits: number }} */
  const figures = JSON.parse(stdout);
  return { ...figures, rows: readRows(join(bare, 'bare.db')) };
}

/**
 * How many rows a database has, and how long they are in the mean.
 *
 * @param {string} path
 * @returns {Rows}
 */
function readRows(path) {
  const database = new Database(path);
  const rows = /** @type {Rows} */ (
    database
      .prepare(
        'SELECT count(*) AS count, total(live) AS live, avg(length(key)) AS key, avg(length(record)) AS record, avg(length(progress)) AS progress FROM command',
      )
      .get([])
  );
  database.close();
  return rows;
}

/** @param {Rows} agent @param {Rows} bare */
function compareRows(agent, bare) {
  for (const column of /** @type {const} */ (['key', 'record', 'progress'])) {
    if (Math.abs(bare[column] / agent[column] - 1) > TOLERANCE)
      throw new Error(
        `the column ${column} has ${agent[column]} bytes in the journal, ${bare[column]} in the bare rows`,
      );
  }
}
