import * as z from 'zod';
import type { Database } from '../../storage/database.js';
import { DamagedError, storageError } from '../../storage/sqlite.js';
import type { Row } from './entry.js';
import { readGroup } from './identities.js';
import type { RememberedCommands } from './remembered.js';
import { IDENTITIES_FROM, KEPT_COUNT, OLDEST_FIRST, parseEndedOrLive, parseIdentitiesRow } from './rows.js';

/** Rows that are read at once: while they are taken in, no datagram is. */
const PAGE_ROWS = 64;

/** What the journal has besides what has ended. */
export interface Loaded {
  /** The commands that had not ended, in the order of their receipt. */
  readonly live: readonly Row[];
  /** The highest number of a command. */
  readonly lastSeq: number;
}

/**
 * Checks the whole database, and reads what it remembers into memory.
 *
 * @throws (rejects) SupersimError `busy` when it cannot be read, or was damaged and has been set aside
 */
export async function loadJournal(database: Database, remembered: RememberedCommands): Promise<Loaded> {
  remembered.clear();
  if (database.persistent) await database.check();
  try {
    await loadIdentities(database, remembered);
    return await loadRows(database, remembered);
  } catch (error) {
    remembered.clear();
    if (!(error instanceof DamagedError)) throw error;
    await database.setAside(error);
    throw storageError(error.message);
  }
}

async function loadIdentities(database: Database, remembered: RememberedCommands): Promise<void> {
  for (let after = -1; ; ) {
    const rows = await database.read(IDENTITIES_FROM, [after, PAGE_ROWS]);
    for (const row of rows) {
      const { first, record } = parseIdentitiesRow(row);
      remembered.addGroup(readGroup(first, record));
      after = first;
    }
    if (rows.length < PAGE_ROWS) return;
  }
}

async function loadRows(database: Database, remembered: RememberedCommands): Promise<Loaded> {
  const live: Row[] = [];
  let count = readCount(await database.read(KEPT_COUNT));
  for (let after = 0; ; ) {
    const rows = await database.read(OLDEST_FIRST, [after, PAGE_ROWS]);
    for (const row of rows) {
      const parsed = parseEndedOrLive(row);
      if ('entry' in parsed) live.push(parsed);
      else remembered.add(parsed);
      count = Math.max(count, parsed.count);
      after = 'entry' in parsed ? parsed.entry.seq : parsed.seq;
    }
    if (rows.length < PAGE_ROWS) {
      await database.checkCount(count);
      return { live, lastSeq: after };
    }
  }
}

const countRow = z.object({ count: z.int() });

function readCount([row]: readonly unknown[]): number {
  const parsed = countRow.safeParse(row);
  if (!parsed.success) throw new DamagedError('the count of writes cannot be read');
  return parsed.data.count;
}
