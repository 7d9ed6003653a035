import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { SupersimError } from '../../../shared/errors.js';
import { toJson } from '../../../shared/format/value.js';
import { OUTCOMES, type Outcome } from '../../../shared/outcome.js';
import { readBytes, readJson, readText } from '../../../shared/sqlite/columns.js';
import type { RequestProtection } from '../../request/protection.js';
import { REQUEST_FORMATS } from '../../request/request.js';
import type { BroadcastResult } from '../memory.js';
import { type BroadcastDatabase, notUsable, openBroadcastDatabase } from './database.js';

/**
 * The tables of a broadcast's SQLite file, which `sqlite3` can read too: one row for each SIM. Nothing was ever sent to
 * a SIM without `started_at`; to one with `started_at` but no `outcome`, something may have been.
 */
const SCHEMA = `
CREATE TABLE broadcast (
  format INTEGER NOT NULL,   -- of this file
  seed BLOB NOT NULL,        -- the requests' identities are derived from it
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
  attempts INTEGER,
  journal TEXT,              -- ID of the device's journal, once a resumed broadcast has learned it
  protection TEXT,           -- JSON: key, sequence numbers, digests; before a datagram leaves; NULL without a key
  authentic INTEGER          -- 1: the answer was protected with the SIM's key
);
CREATE INDEX unended ON sims (position) WHERE outcome IS NULL;
`;
/** To be changed with anything that the datagrams are made of: a device recognises a repeat by its bytes. */
const FORMAT = 1;
/** Rows that are read or inserted at once. */
const BATCH = 500;

const commandSchema = z.strictObject({
  name: z.string(),
  params: z.union([z.string(), z.array(z.unknown()).readonly(), z.record(z.string(), z.unknown())]).optional(),
  format: z.enum(REQUEST_FORMATS),
  get: z.boolean(),
  devicePort: z.int(),
  /** Unix seconds. */
  deadline: z.int().optional(),
  /** The Fleet whose SIMs they are, where these are read while others are asked. */
  fleet: z.string().optional(),
  canary: z.object({ share: z.number(), abortAbove: z.number() }).optional(),
});

/** The command of a broadcast: the same for all SIMs, and when it is resumed. */
export type StoredBroadcastCommand = z.output<typeof commandSchema>;

const protectionSchema = z.object({
  key: z.string(),
  blocks: z.array(z.object({ number: z.int(), digest: z.string() })),
  echo: z
    .base64()
    .transform((text) => Buffer.from(text, 'base64'))
    .optional(),
});

const rowSchema = z.object({
  position: z.number(),
  sim: readText,
  started_at: readText.nullable(),
  ended_at: readText.nullable(),
  outcome: readText.pipe(z.enum(OUTCOMES)).nullable(),
  code: readText.nullable(),
  message: readText.nullable(),
  vendor_code: z.number().nullable(),
  result: readText.nullable(),
  attempts: z.number().nullable(),
  journal: readText.nullable(),
  protection: readJson.pipe(protectionSchema).nullable(),
  authentic: z.number().nullable(),
});

const NUMBERS: readonly string[] = ['position', 'vendor_code', 'attempts', 'authentic'];
const COLUMNS = Object.keys(rowSchema.shape)
  .map((name) => (NUMBERS.includes(name) ? name : `CAST(${name} AS BLOB) AS ${name}`))
  .join(', ');

/** One SIM in the file. */
export type SimRow = z.output<typeof rowSchema>;

export interface BroadcastState {
  readonly command: StoredBroadcastCommand;
  readonly seed: Uint8Array;
  /**
   * Inserts the SIMs, all of them by one call, those that are there already among them.
   *
   * @returns how many were there
   * @throws SupersimError `bad-input` when they cannot be written; the signal's reason
   */
  add(sims: Iterable<string> | AsyncIterable<string>, signal?: AbortSignal): Promise<number>;
  /** How many SIMs there are so far. */
  readonly total: number;
  /** Whether all SIMs are there. */
  readonly isWhole: boolean;
  /**
   * Resolves when there are more SIMs than so many, or all of them.
   *
   * @throws as `add`, which has failed
   */
  grown(total: number): Promise<void>;
  /** Counts the SIMs by outcome; `waiting` have none yet. */
  counts(): Record<Outcome | 'waiting', number>;
  /** Counts, of the first `count` SIMs, those that have ended and those that ended other than `done`. */
  canaryProgress(count: number): { readonly ended: number; readonly failed: number };
  /** The SIMs without an outcome behind a position, in order; those that end meanwhile may be among them. */
  pending(after?: number): Generator<SimRow, void, undefined>;
  /** The SIMs with an outcome, in order. */
  ended(): Generator<SimRow, void, undefined>;
  /** Records that the request may be sent from now on. Resolves when that is on the disk. */
  start(sim: string, protection?: RequestProtection): Promise<void>;
  /** Records how the request is protected. Resolves when that is on the disk. */
  setProtection(sim: string, protection: RequestProtection): Promise<void>;
  /** Records the ID of a device's journal. Resolves when that is on the disk. */
  setJournal(sim: string, id: string): Promise<void>;
  /** Records a SIM's outcome. Resolves when that is on the disk. */
  end(result: BroadcastResult): Promise<void>;
  close(): void;
}

/**
 * Creates the file of a new broadcast.
 *
 * @throws SupersimError `bad-input` when the file exists or cannot be created
 */
export async function createBroadcastState(path: string, command: StoredBroadcastCommand): Promise<BroadcastState> {
  if (existsSync(path)) {
    throw new SupersimError('bad-input', `the file ${path} already exists`, {
      remedy: `Resume its broadcast with --resume ${path}, or name another file.`,
    });
  }
  const database = await openBroadcastDatabase(path);
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
    discardBroadcastState(path);
    throw error instanceof SupersimError ? error : notUsable(path, error);
  }
}

/** Deletes the file of a broadcast, which must be closed, and the files beside it. */
export function discardBroadcastState(path: string): void {
  for (const end of ['', '-wal', '-shm', '.lock']) rmSync(`${path}${end}`, { force: true });
}

/**
 * Opens the file of a broadcast to resume it.
 *
 * @throws SupersimError `bad-input` when it is not one, or another process runs it
 */
export async function openBroadcastState(path: string): Promise<BroadcastState> {
  if (!existsSync(path)) {
    throw new SupersimError('bad-input', `the file ${path} does not exist`, {
      remedy: 'Name the file of a broadcast.',
    });
  }
  const database = await openBroadcastDatabase(path);
  try {
    const state = readState(database, path);
    const canContinue = state.isWhole ? state.total > 0 : state.command.fleet !== undefined;
    if (canContinue) {
      addMissingColumns(database);
      database.share();
      return state;
    }
    throw new SupersimError('bad-input', `${path} is incomplete: the broadcast was stopped while its SIMs were read`, {
      remedy: 'Nothing was sent. Delete the file, and start again.',
    });
  } catch (error) {
    database.close();
    throw error instanceof SupersimError ? error : notUsable(path, error);
  }
}

const ADDED_COLUMNS = { journal: 'TEXT', protection: 'TEXT', authentic: 'INTEGER' };

/** Files of earlier versions have fewer columns. They can be resumed: the requests are made of the same values. */
function addMissingColumns(database: BroadcastDatabase): void {
  database.transaction(() => {
    for (const [name, type] of Object.entries(ADDED_COLUMNS)) {
      const [found] = database.all("SELECT 1 FROM pragma_table_info('sims') WHERE name = ?", [name]);
      if (found === undefined) database.exec(`ALTER TABLE sims ADD COLUMN ${name} ${type}`);
    }
  });
}

const formatProtection = ({ echo, ...known }: RequestProtection): string =>
  JSON.stringify({ ...known, echo: echo && Buffer.from(echo).toString('base64') });

const headSchema = z.object({
  format: z.literal(FORMAT),
  seed: readBytes,
  command: readText,
  total: z.int().nullable(),
});
const countSchema = z.object({ n: z.number() });
const outcomeCountSchema = z.object({ outcome: readText.pipe(z.enum(OUTCOMES)).nullable(), n: z.number() });
const progressSchema = z.object({ ended: z.number(), failed: z.number() });

/**
 * Reads the file, also when it was just written: every process must make its requests from the same values, and JSON
 * changes some (such as -0).
 */
function readState(database: BroadcastDatabase, path: string): BroadcastState {
  const [row] = database.all('SELECT format, seed, CAST(command AS BLOB) AS command, total FROM broadcast');
  const head = checkInput(headSchema, row, `the file ${path}`);
  const json: unknown = JSON.parse(head.command);
  const command = checkInput(commandSchema, json, `the command in ${path}`);
  let total = countSchema.parse(database.all('SELECT count(*) AS n FROM sims')[0]).n;
  let isWhole = head.total !== null;
  const growth = new EventEmitter();
  let failure: { readonly error: unknown } | undefined;

  function* rows(where: string, from = 0): Generator<SimRow, void, undefined> {
    const sql = `SELECT ${COLUMNS} FROM sims WHERE position > ? AND ${where} ORDER BY position LIMIT ${BATCH}`;
    for (let after = from; ; ) {
      const page = database.all(sql, [after]);
      for (const one of page) {
        const read = checkInput(rowSchema, one, `a row of ${path}`);
        after = read.position;
        yield read;
      }
      if (page.length < BATCH) return;
    }
  }

  async function addAll(sims: Iterable<string> | AsyncIterable<string>, signal?: AbortSignal): Promise<number> {
    let duplicates = 0;
    let batch: string[] = [];
    const write = () => {
      let added = 0;
      database.transaction(() => {
        for (const sim of batch) added += database.run('INSERT OR IGNORE INTO sims (sim) VALUES (?)', [sim]);
      });
      duplicates += batch.length - added;
      total += added;
      batch = [];
      growth.emit('grown');
    };
    for await (const sim of sims) {
      signal?.throwIfAborted();
      if (batch.push(sim) === BATCH) write();
    }
    write();
    database.transaction(() => database.run('UPDATE broadcast SET total = ?', [total]));
    isWhole = true;
    return duplicates;
  }

  return {
    command,
    seed: head.seed,
    async add(sims, signal) {
      try {
        return await addAll(sims, signal);
      } catch (error) {
        failure = { error };
        throw error;
      } finally {
        growth.emit('grown');
      }
    },
    async grown(known) {
      while (total <= known && !isWhole) {
        if (failure !== undefined) throw failure.error;
        await once(growth, 'grown');
      }
    },
    get isWhole() {
      return isWhole;
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
    canaryProgress(count) {
      const sql = `SELECT count(*) AS ended, coalesce(sum(outcome <> 'done'), 0) AS failed
        FROM sims WHERE position <= ? AND outcome IS NOT NULL`;
      return progressSchema.parse(database.all(sql, [count])[0]);
    },
    pending: (after) => rows('outcome IS NULL', after),
    ended: () => rows('outcome IS NOT NULL'),
    start: (sim, protection) =>
      database.write('UPDATE sims SET started_at = ?, protection = ? WHERE sim = ?', [
        new Date().toISOString(),
        protection === undefined ? null : formatProtection(protection),
        sim,
      ]),
    setProtection: (sim, protection) =>
      database.write('UPDATE sims SET protection = ? WHERE sim = ?', [formatProtection(protection), sim]),
    setJournal: (sim, id) => database.write('UPDATE sims SET journal = ? WHERE sim = ?', [id, sim]),
    end(ended) {
      const { outcome, code, message, vendor_code, result } = columnsOf(ended);
      return database.write(
        `UPDATE sims SET ended_at = ?, outcome = ?, code = ?, message = ?, vendor_code = ?, result = ?, attempts = ?,
           authentic = ? WHERE sim = ? AND outcome IS NULL`,
        [
          new Date().toISOString(),
          outcome,
          code,
          message,
          vendor_code,
          result,
          ended.attempts,
          Number(ended.authentic),
          ended.sim,
        ],
      );
    },
    close: database.close,
  };
}

/** Returns the columns of a row that hold a result. */
export function columnsOf(
  result: BroadcastResult,
): Pick<SimRow, 'outcome' | 'code' | 'message' | 'vendor_code' | 'result'> {
  if (result.outcome === 'done') {
    const json = result.result === undefined ? null : toJson(result.result).toWellFormed();
    const message = result.forgotten === true ? 'it was done before; the device no longer remembers its result' : null;
    return { outcome: 'done', code: null, message, vendor_code: null, result: json };
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
