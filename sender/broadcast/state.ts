import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import * as z from 'zod';
import { SupersimError } from '../../shared/errors.js';
import { toJson } from '../../shared/format/value.js';
import { OUTCOMES, type Outcome } from '../../shared/outcome.js';
import { checkInput } from '../input.js';
import { REQUEST_FORMATS } from '../request.js';
import type { BroadcastResult } from './broadcast.js';
import { type Database, notUsable, openDatabase } from './database.js';
import { createWriter } from './writer.js';

/**
 * A broadcast in a SQLite file that `sqlite3` can read: one row for each SIM. A SIM without `started_at` was never sent
 * anything; one without `outcome` may have been.
 */
const SCHEMA = `
CREATE TABLE broadcast (
  format INTEGER NOT NULL,   -- of this file
  seed BLOB NOT NULL,        -- what the requests' identities are made of
  command TEXT NOT NULL,     -- JSON
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
});

/** What is the same for all SIMs, and when it is gone on with. */
export type StoredCommand = z.output<typeof commandSchema>;

/** The library gives a Buffer or an ArrayBuffer, as it likes. */
const bytes = z
  .union([z.instanceof(Uint8Array), z.instanceof(ArrayBuffer)])
  .transform((value) => (value instanceof ArrayBuffer ? new Uint8Array(value) : value));
/** Read as bytes: text that is no UTF-8, which a damaged file may hold, would end the process. */
const text = bytes.transform((value) => Buffer.from(value).toString('utf8'));

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
  /** Puts in the SIMs, all of them by one call. @returns how many of them were there already, and are left out */
  add(sims: Iterable<string> | AsyncIterable<string>): Promise<number>;
  readonly total: number;
  /** How many SIMs came to each outcome; `waiting` have none. */
  counts(): Record<Outcome | 'waiting', number>;
  /** The SIMs without an outcome, in order; what ends meanwhile may be among them. */
  unended(): Generator<SimRow, void, undefined>;
  /** Of these, the ones that something may have been sent to. */
  begun(): Generator<SimRow, void, undefined>;
  /** Those with one, in order. */
  ended(): Generator<SimRow, void, undefined>;
  /** Resolves when it is on the disk that something may have been sent to the SIM. */
  start(sim: string): Promise<void>;
  /** Resolves when it is on the disk. */
  end(result: BroadcastResult): Promise<void>;
  close(): Promise<void>;
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
  const seed = randomBytes(16);
  database.exec(SCHEMA);
  database.run('INSERT INTO broadcast (format, seed, command, created_at) VALUES (?, ?, ?, ?)', [
    FORMAT,
    seed,
    toJson(command),
    new Date().toISOString(),
  ]);
  return stateOf(database, command, seed, 0);
}

const headSchema = z.object({ format: z.literal(FORMAT), seed: bytes, command: text, total: z.int().nullable() });

const incomplete = (path: string) =>
  new SupersimError('bad-input', `${path} does not hold all SIMs: it was ended while they were read`, {
    remedy: 'Nothing was sent. Delete it, and begin again.',
  });

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
    const [row] = database.all('SELECT format, seed, CAST(command AS BLOB) AS command, total FROM broadcast');
    const { seed, command, total } = checkInput(headSchema, row, `the file ${path}`);
    const stored: unknown = JSON.parse(command);
    if (total === null) throw incomplete(path);
    return stateOf(database, checkInput(commandSchema, stored, `the command in ${path}`), seed, total);
  } catch (error) {
    database.close();
    throw error instanceof SupersimError ? error : notUsable(path, error);
  }
}

function stateOf(database: Database, command: StoredCommand, seed: Uint8Array, known: number): BroadcastState {
  let total = known;
  const writer = createWriter(database);

  function* rows(where: string): Generator<SimRow, void, undefined> {
    for (let after = 0; ; ) {
      const page = database.all(`SELECT ${COLUMNS} FROM sims WHERE position > ? AND ${where} LIMIT ${BATCH}`, [after]);
      for (const row of page) {
        const read = checkInput(rowSchema, row, 'a row of the broadcast’s file');
        after = read.position;
        yield read;
      }
      if (page.length < BATCH) return;
    }
  }

  const count = (where: string) => countSchema.parse(database.all(`SELECT count(*) AS n FROM sims ${where}`)[0]).n;

  return {
    command,
    seed,
    async add(sims) {
      let twice = 0;
      let left: string[] = [];
      const write = () => {
        database.exec('BEGIN');
        for (const sim of left) twice += 1 - database.run('INSERT OR IGNORE INTO sims (sim) VALUES (?)', [sim]);
        database.exec('COMMIT');
        left = [];
      };
      for await (const sim of sims) {
        if (left.push(sim) === BATCH) write();
      }
      write();
      total = count('');
      database.run('UPDATE broadcast SET total = ?', [total]);
      return twice;
    },
    get total() {
      return total;
    },
    counts() {
      const of = (outcome: Outcome) => count(`WHERE outcome = '${outcome}'`);
      const counted = {
        done: of('done'),
        failed: of('failed'),
        refused: of('refused'),
        'not-sent': of('not-sent'),
        interrupted: of('interrupted'),
        'no-answer': of('no-answer'),
      };
      return { ...counted, waiting: count('WHERE outcome IS NULL') };
    },
    unended: () => rows('outcome IS NULL'),
    begun: () => rows('outcome IS NULL AND started_at IS NOT NULL'),
    ended: () => rows('outcome IS NOT NULL'),
    start: (sim) =>
      writer.write('UPDATE sims SET started_at = coalesce(started_at, ?) WHERE sim = ?', [
        new Date().toISOString(),
        sim,
      ]),
    end(ended) {
      const { outcome, code, message, vendor_code, result } = columnsOf(ended);
      return writer.write(
        `UPDATE sims SET ended_at = ?, outcome = ?, code = ?, message = ?, vendor_code = ?, result = ?, attempts = ?
         WHERE sim = ? AND outcome IS NULL`,
        [new Date().toISOString(), outcome, code, message, vendor_code, result, ended.attempts, ended.sim],
      );
    },
    async close() {
      await writer.flush();
      database.close();
    },
  };
}

const countSchema = z.object({ n: z.number() });

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
