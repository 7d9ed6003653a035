import type { SqlValue } from '../../../shared/sqlite/libsql.js';
import type { Database } from './database.js';

/** How long writes are gathered for one commit, in milliseconds, and how many at most. */
const GATHER_MS = 10;
const MAX_GATHERED = 500;

interface Write {
  readonly sql: string;
  readonly values: readonly SqlValue[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes together what comes within {@link GATHER_MS}: each commit waits for the disk. */
export function createWriter(database: Pick<Database, 'run' | 'transaction'>) {
  let gathered: Write[] = [];
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    const writes = gathered;
    gathered = [];
    if (writes.length === 0) return;
    try {
      database.transaction(() => {
        for (const { sql, values } of writes) database.run(sql, values);
      });
    } catch (error) {
      for (const { reject } of writes) reject(error);
      return;
    }
    for (const { resolve } of writes) resolve();
  }

  return {
    /** Resolves when it is on the disk. */
    write: (sql: string, values: readonly SqlValue[]) =>
      new Promise<void>((resolve, reject) => {
        gathered.push({ sql, values, resolve, reject });
        timer ??= setTimeout(flush, GATHER_MS);
        if (gathered.length >= MAX_GATHERED) flush();
      }),
    /** Writes now what waits. */
    flush,
  };
}
