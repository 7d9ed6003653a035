import * as z from 'zod';
import type { RunStatement } from '../../storage/batch.js';
import { blob, DamagedError } from '../../storage/sqlite.js';
import {
  commandRecord,
  type EndedRow,
  isLive,
  type JournalEntry,
  progressRecord,
  type Row,
  readEnded,
  readEntry,
} from './entry.js';

// A row of a commit that failed may be there all the same.
const INSERT = 'INSERT OR REPLACE INTO command (seq, live, record, progress) VALUES (?, ?, ?, ?)';
const UPDATE = 'UPDATE command SET live = ?, progress = ? WHERE seq = ?';
const DELETE = 'DELETE FROM command WHERE seq IN (SELECT value FROM json_each(?))';

const KEEP_COUNT = 'UPDATE journal SET count = max(count, ?)';
/** The count that is stored apart from the rows. */
export const KEPT_COUNT = 'SELECT count FROM journal';

const COLUMNS = 'SELECT live, record, progress FROM command';
/** Values: the number behind which to begin, and the most rows. */
export const OLDEST_FIRST = `${COLUMNS} WHERE seq > ? ORDER BY seq LIMIT ?`;
/** Values: the most rows. */
export const NEWEST_FIRST = `${COLUMNS} ORDER BY seq DESC LIMIT ?`;
/** Values: the number. */
export const BY_NUMBER = `${COLUMNS} WHERE seq = ?`;

/** @returns the size of its records */
export const insertRow = (run: RunStatement, entry: JournalEntry, count: number): number =>
  run(INSERT, [entry.seq, isLive(entry) ? 1 : 0, commandRecord(entry, count), progressRecord(entry, count)]);

/** @returns the size of its progress */
export const updateRow = (run: RunStatement, entry: JournalEntry, count: number): number =>
  run(UPDATE, [isLive(entry) ? 1 : 0, progressRecord(entry, count), entry.seq]);

/** @param count of the writes until now: of what is deleted it would not be found any more */
export function removeRows(run: RunStatement, seqs: readonly number[], count: number): void {
  if (seqs.length === 0) return;
  run(DELETE, [JSON.stringify(seqs)]);
  keepCount(run, count);
}

/** Stores the count of writes apart from the rows. */
export function keepCount(run: RunStatement, count: number): void {
  run(KEEP_COUNT, [count]);
}

/** Removes all commands that have ended. */
export function removeEnded(run: RunStatement, count: number): void {
  keepCount(run, count);
  run('DELETE FROM command WHERE live = 0', []);
  run('DELETE FROM identities', []);
}

/** Reads all of a command that has not ended, and of one that has ended what stays of it. @throws DamagedError */
export function parseEndedOrLive(row: unknown): Row | EndedRow {
  const isEnded = typeof row === 'object' && row !== null && 'live' in row && row.live === 0;
  return isEnded && 'record' in row && 'progress' in row ? readEnded(row.record, row.progress) : parseRow(row);
}

/** @throws DamagedError when a row is not as it was written */
export const parseRows = (rows: readonly unknown[]): Row[] => rows.map(parseRow);

function parseRow(row: unknown): Row {
  if (typeof row === 'object' && row !== null && 'record' in row && 'progress' in row) {
    return readEntry(row.record, row.progress);
  }
  throw new DamagedError('a row has no record');
}

const INSERT_IDENTITIES = 'INSERT OR REPLACE INTO identities (first, record) VALUES (?, ?)';
const DELETE_IDENTITIES = 'DELETE FROM identities WHERE first = ?';
/** Values: the number behind which to begin, and the most rows. */
export const IDENTITIES_FROM = 'SELECT first, record FROM identities WHERE first > ? ORDER BY first LIMIT ?';
/** Values: the number of the first identity. */
export const IDENTITIES_AT = 'SELECT first, record FROM identities WHERE first = ?';

const identitiesRow = z.object({ first: z.int(), record: z.unknown() });

export function insertIdentities(run: RunStatement, first: number, record: Uint8Array): void {
  run(INSERT_IDENTITIES, [first, record]);
}

export function removeIdentities(run: RunStatement, first: number): void {
  run(DELETE_IDENTITIES, [first]);
}

/** @throws DamagedError when it is no such row */
export function parseIdentitiesRow(row: unknown): { readonly first: number; readonly record: Buffer } {
  const parsed = identitiesRow.safeParse(row);
  if (!parsed.success) throw new DamagedError('a row of identities has no record');
  return { first: parsed.data.first, record: blob(parsed.data.record) };
}
