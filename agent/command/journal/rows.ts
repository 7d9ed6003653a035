import * as z from 'zod';
import type { Connection } from '../../../shared/sqlite/connection.js';
import type { SqlValue } from '../../../shared/sqlite/native.js';
import { blob, DamagedError } from '../../storage/sqlite.js';
import { isLive, type JournalEntry, type Row, readEntry, writeCommand, writeProgress } from './entry.js';
import { PREFIX_BYTES } from './key-filter.js';

const INSERT = 'INSERT INTO command (seq, key, live, record, progress) VALUES (?, ?, ?, ?, ?)';
const UPDATE = 'UPDATE command SET live = ?, progress = ? WHERE seq = ?';
const SELECT = 'SELECT record, progress FROM command WHERE';
const CHOICES = {
  live: `${SELECT} live = 1 AND seq > ? ORDER BY seq LIMIT ?`,
  ended: `${SELECT} live = 0 AND seq > ? ORDER BY seq LIMIT ?`,
  newest: `${SELECT} seq > ? ORDER BY seq DESC LIMIT ?`,
} as const;
const COLUMNS = { seq: `${SELECT} seq = ?`, key: `${SELECT} key = ?` } as const;

/** Scans the index once: reads no record, and does not depend on the order, which may be damaged. */
const PREFIXES = `SELECT CAST(group_concat(hex(substr(key, 1, ${PREFIX_BYTES})), '') AS BLOB) AS prefixes
  FROM command WHERE length(key) >= ${PREFIX_BYTES}`;

/** Number and bytes of the ended rows, and the highest sequence number of all. */
export interface Totals {
  readonly count: number;
  readonly size: number;
  readonly last: number;
}

const totalsRow = z.object({ count: z.int(), size: z.number(), last: z.int() });
const prefixesRow = z.object({ prefixes: z.unknown() });
const TOTALS = `SELECT count(*) AS count, total(length(record) + length(progress)) AS size,
  (SELECT ifnull(max(seq), 0) FROM command) AS last FROM command WHERE live = 0`;

/** @returns the size of its fixed record */
export function insertRow(connection: Connection, entry: JournalEntry, progress: Uint8Array): number {
  const record = writeCommand(entry);
  connection.run(INSERT, [entry.seq, entry.command.key, isLive(entry) ? 1 : 0, record, progress]);
  return record.length;
}

export function updateRow(connection: Connection, entry: JournalEntry, progress = writeProgress(entry)): void {
  connection.run(UPDATE, [isLive(entry) ? 1 : 0, progress, entry.seq]);
}

/** @throws DamagedError when a row is not as it was written */
export const readRows = (connection: Connection, choice: keyof typeof CHOICES, after: number, limit: number): Row[] =>
  connection.all(CHOICES[choice], [after, limit]).map(parseRow);

/** @throws DamagedError when the row is not as it was written */
export function readRow(connection: Connection, column: keyof typeof COLUMNS, value: SqlValue): Row | undefined {
  const row = connection.get(COLUMNS[column], [value]);
  return row === undefined ? undefined : parseRow(row);
}

function parseRow(row: unknown): Row {
  if (typeof row === 'object' && row !== null && 'record' in row && 'progress' in row) {
    return readEntry(row.record, row.progress);
  }
  throw new DamagedError('a row has no record');
}

/** Returns the first bytes of the keys of all rows, concatenated; shorter keys are damaged, and left out. */
export function readKeyPrefixes(connection: Connection): Uint8Array {
  const { prefixes } = prefixesRow.parse(connection.get(PREFIXES));
  return prefixes === null ? new Uint8Array() : Buffer.from(blob(prefixes).toString('latin1'), 'hex');
}

/** @returns how many there were */
export const removeRow = (connection: Connection, seq: number): number =>
  connection.run('DELETE FROM command WHERE seq = ?', [seq]);

/** Deletes all ended rows. @returns their totals */
export function removeEnded(connection: Connection): Totals {
  const totals = totalsOf(connection);
  connection.run('DELETE FROM command WHERE live = 0');
  return totals;
}

export function totalsOf(connection: Connection): Totals {
  const parsed = totalsRow.safeParse(connection.get(TOTALS));
  if (!parsed.success) throw new DamagedError('the rows cannot be counted');
  return parsed.data;
}
