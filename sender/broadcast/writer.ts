import { messageOf, SupersimError } from '../../shared/errors.js';
import type { Database, SqlValue } from './database.js';

/** How long writes are gathered for one commit, in milliseconds, and how many at most. */
const GATHER_MS = 10;
const MAX_GATHERED = 500;

/** Writes together what comes within {@link GATHER_MS}. */
export function createWriter(database: Database) {
  interface Write {
    readonly sql: string;
    readonly values: readonly SqlValue[];
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }
  let gathered: Write[] = [];
  let timer: NodeJS.Timeout | undefined;

  function commit(): void {
    clearTimeout(timer);
    timer = undefined;
    const writes = gathered;
    gathered = [];
    if (writes.length === 0) return;
    try {
      database.exec('BEGIN');
      for (const { sql, values } of writes) database.run(sql, values);
      database.exec('COMMIT');
      for (const { resolve } of writes) resolve();
    } catch (error) {
      database.rollBack();
      const told = new SupersimError('bad-input', `the broadcast’s file cannot be written: ${messageOf(error)}`, {
        cause: error,
        remedy: 'Free space on its disk, then go on with it by --resume.',
      });
      for (const { reject } of writes) reject(told);
    }
  }

  return {
    write: (sql: string, values: readonly SqlValue[]) =>
      new Promise<void>((resolve, reject) => {
        gathered.push({ sql, values, resolve, reject });
        timer ??= setTimeout(commit, GATHER_MS);
        if (gathered.length >= MAX_GATHERED) commit();
      }),
    async flush() {
      commit();
    },
  };
}
