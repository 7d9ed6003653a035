import { milliseconds } from '../../shared/duration.js';
import { isSupersimError, messageOf } from '../../shared/errors.js';
import { formatJournalIdentity } from '../../shared/format/journal-identity.js';
import type { Log } from '../base/log.js';
import { ageOf, systemClock } from '../base/moment.js';
import { type Config, stateFolderOf } from '../config/schema.js';
import { type Database, openDatabase } from '../storage/database.js';
import { createJournal } from './journal/journal.js';
import type { Journal } from './journal/types.js';
import { unavailableJournal } from './journal/unavailable.js';
import { type Outbox, openOutbox } from './outbox/outbox.js';

/** The state that persists over a restart: the journal of commands, and the outbox. */
export interface State {
  readonly journal: Journal;
  readonly outbox: Outbox;
  readonly database: Database;
  /** Why there is no database, where only a journal that refuses everything is left. */
  readonly failure?: string;
  /** Returns the identity of the journal, as a reply carries it. */
  readonly identity: () => string | undefined;
}

/**
 * Opens the state folder. Without one the state is in memory, and lost when the agent stops.
 *
 * @returns only a journal that refuses everything, after a log line, when the SQLite library cannot be loaded; nothing
 *   where it was to be in memory
 * @throws (rejects) SupersimError `state-in-use`
 */
export async function openState(
  config: Config,
  log: Log,
): Promise<State | Pick<Partial<State>, 'journal' | 'failure'>> {
  const folder = stateFolderOf(config);
  try {
    const clock = systemClock();
    const database = await openDatabase({ folder, clock, log });
    const { keep, ...limits } = config.journal;
    return {
      database,
      journal: createJournal(database, clock, { ...limits, keepMs: milliseconds(keep) }),
      outbox: await openOutbox(database, clock, config.outbox),
      identity() {
        const { identity } = database;
        if (identity === undefined) return undefined;
        return formatJournalIdentity({ id: identity.id, age: ageOf(identity.created, clock()).likely / 1000 });
      },
    };
  } catch (error) {
    if (isSupersimError(error)) throw error;
    log.error(
      { error: messageOf(error) },
      'no journal and no outbox: the SQLite library cannot be loaded; commands that need the journal are refused',
    );
    if (folder === undefined) return {};
    const failure = `there is no journal: ${messageOf(error)}`;
    return { journal: unavailableJournal(failure), failure };
  }
}
