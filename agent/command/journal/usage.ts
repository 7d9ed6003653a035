import { isSupersimError } from '../../../shared/errors.js';
import type { Database } from '../../storage/database.js';
import type { JournalEntry, Row } from './entry.js';
import { readRows, removeRow } from './rows.js';

/** How many ended commands are read at once when the journal is pruned. */
const CHUNK_ROWS = 64;

/** Counts the journal's rows, and deletes them. */
export interface JournalUsage {
  entries: number;
  bytes: number;
  remove(row: Row): void;
  /**
   * Deletes ended commands, the oldest first, and commits. Stops at the first chunk in which a command must stay, as
   * nearly all commands behind it are younger.
   *
   * @returns how many were deleted; none on a disk that cannot be read
   */
  prune(mayGo: (entry: JournalEntry) => boolean, chunks: number): number;
}

export function createJournalUsage(database: Database): JournalUsage {
  const usage: JournalUsage = { entries: 0, bytes: 0, remove, prune };

  function remove({ entry, commandBytes, progressBytes }: Row): void {
    let removed = 0;
    database.write(
      (connection) => {
        removed = removeRow(connection, entry.seq);
      },
      (error) => {
        if (error !== undefined) return;
        usage.entries -= removed;
        usage.bytes -= removed * (commandBytes + progressBytes);
      },
    );
  }

  function prune(mayGo: (entry: JournalEntry) => boolean, chunks: number): number {
    let gone = 0;
    try {
      for (let chunk = 0, after = 0; chunk < chunks; chunk++) {
        database.flush();
        const rows = database.read((connection) => readRows(connection, 'ended', after, CHUNK_ROWS));
        const going = rows.filter(({ entry }) => mayGo(entry));
        for (const row of going) remove(row);
        database.flush();
        gone += going.length;
        after = rows.at(-1)?.entry.seq ?? after;
        if (going.length < CHUNK_ROWS) break;
      }
    } catch (error) {
      if (!isSupersimError(error, 'busy')) throw error;
    }
    return gone;
  }

  return usage;
}
