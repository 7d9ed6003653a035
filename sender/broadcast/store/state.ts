import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { SupersimError } from '../../../shared/errors.js';
import { toJson } from '../../../shared/format/value.js';
import { OUTCOMES, type Outcome } from '../../../shared/outcome.js';
import { readBlob } from '../../../shared/sqlite/connection.js';
import { REQUEST_FORMATS } from '../../request/request.js';
import type { BroadcastResult } from '../memory.js';
import { type Database, notUsable, openDatabase } from './database.js';

/**
 * A broadcast in a SQLite file that `sqlite3` can read: one row for each SIM. A SIM without `started_at` was never sent
 * anything; one without `outcome` may have been.
 */
const SCHEMA = `
CREATE TABLE broadcast (
  format INTEGER NOT NULL,   -- of this file
  seed BLOB NOT NULL,        -- what the requests' identities are made of
  command TEXT NOT NULL,     -- JSON; with its deadline and canary
  created_at TEXT NOT NULL,
  total INTEGER              -- how many SIMs; NULL until the last of them is in this file
);
CREATE TABLE sims (
  position INTEGER PRIMARY KEY,
  sim TEXT NOT NULL UNIQUE,
  started_at TEXT,           -- UTC, before the first datagram
  ended_at TEXT,
  outcome TEXT,
  code TEXT,                 -- of the error
  message TEXT,
  vendor_code INTEGER,
  result TEXT,               -- JSON
  attempts INTEGER
);
CREATE INDEX unended ON sims (position) WHERE outcome IS NULL;
`;
/** Another when something changes that the datagrams are made of: a device knows a request by their bytes. */
const FORMAT = 1;
/** SIMs that are read, or added, at once. */
const BATCH = 500;

const commandSchema = z.strictObject({
  name: z.string(),
  params: z.union([z.string(), z.array(z.unknown()).readonly(), z.record(z.string(), z.unknown())]).optional(),
  format: z.enum(REQUEST_FORMATS),
  get: z.boolean(),
  devicePort: z.int(),
  /** Unix seconds. */
  deadline: z.int().optional(),
  canary: z.object({ share: z.number(), abortAbove: z.number() }).optional(),
});

/** What is the same for all SIMs, and when it is gone on with. */
export type StoredCommand = z.output<typeof commandSchema>;

const bytes = z
  .unknown()
  .transform(readBlob)
  .pipe(z.instanceof(Buffer, { error: 'must be bytes' }));
/** Read as bytes: see `Connection.all`. */
const text = bytes.transform((value) => value.toString('utf8'));

const rowSchema = z.object({
  position: z.number(),
  sim: text,
  started_at: text.nullable(),
  ended_at: text.nullable(),
  outcome: text.pipe(z.enum(OUTCOMES)).nullable(),
  code: text.nullable(),
  message: text.nullable(),
  vendor_code: z.number().nullable(),
  result: text.nullable(),
  attempts: z.number().nullable(),
});

const NUMBERS: readonly string[] = ['position', 'vendor_code', 'attempts'];
const COLUMNS = Object.keys(rowSchema.shape)
  .map((name) => (NUMBERS.includes(name) ? name : `CAST(${name} AS BLOB) AS ${name}`))
  .join(', ');

/** What the file says of one SIM. */
export type SimRow = z.output<typeof rowSchema>;

export interface BroadcastState {
  readonly command: StoredCommand;
  readonly seed: Uint8Array;
  /**
   * Puts in the SIMs, all of them by one call.
   *
   * @returns how many of them were there already, and are left out
   * @throws SupersimError `bad-input` when they cannot be written; the signal's reason
   */
  add(sims: Iterable<string> | AsyncIterable<string>, signal?: AbortSignal): Promise<number>;
  readonly total: number;
  /** How many SIMs came to each outcome; `waiting` have none. */
  counts(): Record<Outcome | 'waiting', number>;
  /** How many of the first so many SIMs have ended, and other than `done`. */
  faring(first: number): { readonly ended: number; readonly failed: number };
  /** The SIMs without an outcome, in order; what ends meanwhile may be among them. */
  unended(): Generator<SimRow, void, undefined>;
  /** Those with one, in order. */
  ended(): Generator<SimRow, void, undefined>;
  /** Resolves when it is on the disk that something may have been sent to the SIM. */
  start(sim: string): Promise<void>;
  /** Resolves when it is on the disk. */
  end(result: BroadcastResult): Promise<void>;
  close(): void;
}

/**
 * Makes the file of a new broadcast.
 *
 * @throws SupersimError `bad-input` when there is such a file, or none can be made
 */
export async function createState(path: string, command: StoredCommand): Promise<BroadcastState> {
  if (existsSync(path)) {
    throw new SupersimError('bad-input', `there is a file ${path} already`, {
      remedy: `Go on with it by --resume ${path}, or name another file.`,
    });
  }
  const database = await openDatabase(path);
  const stored = toJson(command);
  try {
    database.share();
    database.transaction(() => {
      database.exec(SCHEMA);
      database.run('INSERT INTO broadcast (format, seed, command, created_at) VALUES (?, ?, ?, ?)', [
        FORMAT,
        randomBytes(16),
        stored,
        new Date().toISOString(),
      ]);
    });
    return readState(database, path);
  } catch (error) {
    database.close();
    discardState(path);
    throw error instanceof SupersimError ? error : notUsable(path, error);
  }
}

/** Deletes the file of a broadcast that has been closed, and what belongs to it. */
export function discardState(path: string): void {
  for (const end of ['', '-wal', '-shm', '.lock']) rmSync(`${path}${end}`, { force: true });
}

/**
 * Opens the file of a broadcast, to go on with it.
 *
 * @throws SupersimError `bad-input` when it is none, or another process goes on with it
 */
export async function openState(path: string): Promise<BroadcastState> {
  if (!existsSync(path)) {
    throw new SupersimError('bad-input', `there is no file ${path}`, { remedy: 'Name the file of a broadcast.' });
  }
  const database = await openDatabase(path);
  try {
    const state = readState(database, path);
    if (state.total > 0) {
      database.share();
      return state;
    }
    throw new SupersimError('bad-input', `${path} does not hold its SIMs: it was ended while they were read`, {
      remedy: 'Nothing was sent. Delete it, and begin again.',
    });
  } catch (error) {
    database.close();
    throw error instanceof SupersimError ? error : notUsable(path, error);
  }
}

const headSchema = z.object({ format: z.literal(FORMAT), seed: bytes, command: text, total: z.int().nullable() });
const countSchema = z.object({ n: z.number() });
const outcomeCountSchema = z.object({ outcome: text.pipe(z.enum(OUTCOMES)).nullable(), n: z.number() });
const faringSchema = z.object({ ended: z.number(), failed: z.number() });

/**
 * Also what was just written is read: the requests of both processes are made of the very same (JSON does not know -0,
 * for one).
 */
function readState(database: Database, path: string): BroadcastState {
  const [row] = database.all('SELECT format, seed, CAST(command AS BLOB) AS command, total FROM broadcast');
  const head = checkInput(headSchema, row, `the file ${path}`);
  const json: unknown = JSON.parse(head.command);
  const command = checkInput(commandSchema, json, `the command in ${path}`);
  let total = head.total ?? 0;

  function* rows(where: string): Generator<SimRow, void, undefined> {
    const sql = `SELECT ${COLUMNS} FROM sims WHERE position > ? AND ${where} ORDER BY position LIMIT ${BATCH}`;
    for (let after = 0; ; ) {
      const page = database.all(sql, [after]);
      for (const one of page) {
        const read = checkInput(rowSchema, one, `a row of ${path}`);
        after = read.position;
        yield read;
      }
      if (page.length < BATCH) return;
    }
  }

  return {
    command,
    seed: head.seed,
    async add(sims, signal) {
      let twice = 0;
      let left: string[] = [];
      const write = () => {
        database.transaction(() => {
          for (const sim of left) twice += 1 - database.run('INSERT OR IGNORE INTO sims (sim) VALUES (?)', [sim]);
        });
        left = [];
      };
      for await (const sim of sims) {
        signal?.throwIfAborted();
        if (left.push(sim) === BATCH) write();
      }
      write();
      total = countSchema.parse(database.all('SELECT count(*) AS n FROM sims')[0]).n;
      database.transaction(() => database.run('UPDATE broadcast SET total = ?', [total]));
      return twice;
    },
    get total() {
      return total;
    },
    counts() {
      const counts = { waiting: 0, done: 0, failed: 0, refused: 0, interrupted: 0, 'not-sent': 0, 'no-answer': 0 };
      const sql = 'SELECT CAST(outcome AS BLOB) AS outcome, count(*) AS n FROM sims GROUP BY outcome';
      for (const one of database.all(sql)) {
        const { outcome, n } = checkInput(outcomeCountSchema, one, `an outcome in ${path}`);
        counts[outcome ?? 'waiting'] = n;
      }
      return counts;
    },
    faring(first) {
      const sql = `SELECT count(*) AS ended, coalesce(sum(outcome <> 'done'), 0) AS failed
        FROM sims WHERE position <= ? AND outcome IS NOT NULL`;
      return faringSchema.parse(database.all(sql, [first])[0]);
    },
    unended: () => rows('outcome IS NULL'),
    ended: () => rows('outcome IS NOT NULL'),
    start: (sim) => database.write('UPDATE sims SET started_at = ? WHERE sim = ?', [new Date().toISOString(), sim]),
    end(ended) {
      const { outcome, code, message, vendor_code, result } = columnsOf(ended);
      return database.write(
        `UPDATE sims SET ended_at = ?, outcome = ?, code = ?, message = ?, vendor_code = ?, result = ?, attempts = ?
         WHERE sim = ? AND outcome IS NULL`,
        [new Date().toISOString(), outcome, code, message, vendor_code, result, ended.attempts, ended.sim],
      );
    },
    close: database.close,
  };
}

/** What a result comes to in a row. */
export function columnsOf(
  result: BroadcastResult,
): Pick<SimRow, 'outcome' | 'code' | 'message' | 'vendor_code' | 'result'> {
  if (result.outcome === 'done') {
    const told = result.result === undefined ? null : toJson(result.result).toWellFormed();
    return { outcome: 'done', code: null, message: null, vendor_code: null, result: told };
  }
  const { code, message, vendorCode } = result.error;
  return {
    outcome: result.outcome,
    code,
    message: message.toWellFormed(),
    vendor_code: vendorCode ?? null,
    result: null,
  };
}
