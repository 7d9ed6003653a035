import { milliseconds } from '../../shared/duration.js';
import { isSupersimError, messageOf } from '../../shared/errors.js';
import type { Log } from '../base/log.js';
import { systemClock } from '../base/moment.js';
import type { Config } from '../config/schema.js';
import { type Database, openDatabase } from '../storage/database.js';
import { createJournal } from './journal/journal.js';
import type { Journal } from './journal/types.js';
import { type Outbox, openOutbox } from './outbox/outbox.js';

/** The state that persists over a restart: the journal of commands, and the outbox. */
export interface State {
  readonly journal: Journal;
  readonly outbox: Outbox;
  readonly database: Database;
}

/**
 * Opens the state folder. Without one the state is in memory, and lost when the agent stops.
 *
 * @returns undefined, after a log line, when the SQLite library cannot be loaded
 * @throws SupersimError `state-in-use`
 */
export async function openState(config: Config, log: Log): Promise<State | undefined> {
  try {
    const database = await openDatabase({ folder: config.state.folder, log });
    const clock = systemClock();
    const { keep, ...limits } = config.journal;
    return {
      database,
      journal: createJournal(database, clock, { ...limits, keepMs: milliseconds(keep) }),
      outbox: openOutbox(database, clock, config.outbox),
    };
  } catch (error) {
    if (isSupersimError(error)) throw error;
    log.error(
      { error: messageOf(error) },
      'no journal and no outbox: the SQLite library cannot be loaded; what is known of commands is lost when the agent ends',
    );
    return undefined;
  }
}
