import type * as z from 'zod';
import { describeIssues } from '../../../shared/check-input.js';
import type { SqlValue } from '../../../shared/sqlite/native.js';
import { type KeyStore, unusableKeys } from './key-store.js';

/**
 * Reads rows of the file with the keys.
 *
 * @throws SupersimError `keys-unusable`, also for a row that is not as the schema wants it
 */
export function readRows<S extends z.ZodType>(
  store: KeyStore,
  schema: S,
  sql: string,
  values: readonly SqlValue[] = [],
): z.output<S>[] {
  return store.all(sql, values).map((row) => checkRow(store, schema, row));
}

/** Reads the first row, as {@link readRows}; undefined when there is none. */
export function readRow<S extends z.ZodType>(
  store: KeyStore,
  schema: S,
  sql: string,
  values: readonly SqlValue[] = [],
): z.output<S> | undefined {
  const row = store.get(sql, values);
  return row === undefined ? undefined : checkRow(store, schema, row);
}

function checkRow<S extends z.ZodType>({ path }: KeyStore, schema: S, row: unknown): z.output<S> {
  const result = schema.safeParse(row);
  if (result.success) return result.data;
  throw unusableKeys(path, `it is damaged: ${describeIssues(result.error.issues)}`);
}
