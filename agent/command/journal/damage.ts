import type { Database } from '../../storage/database.js';
import { DamagedError } from '../../storage/sqlite.js';

/**
 * Returns what reads; again where it finds damage, when the database was set aside: what memory knows is in the next
 * one. Of reads that are under way at the same time many may find the same damage: the next database, which has none, is
 * not set aside for it.
 */
export function createDamageGuard(database: Pick<Database, 'setAside'>) {
  /** How many databases were set aside. */
  let count = 0;
  let underWay: Promise<void> | undefined;

  async function setAside(found: DamagedError): Promise<void> {
    await database.setAside(found);
    underWay = undefined;
    count++;
  }

  return async <T>(look: () => Promise<T>): Promise<T> => {
    // What is asked meanwhile would find the old files gone.
    if (underWay !== undefined) await underWay;
    const before = count;
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      if (count === before) {
        underWay ??= setAside(error);
        await underWay;
      }
      return look();
    }
  };
}
