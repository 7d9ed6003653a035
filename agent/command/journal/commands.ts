import type { Database } from '../../storage/database.js';
import type { Runner } from '../runner/runner.js';
import type { JournalEntry } from './entry.js';
import type { Journal } from './types.js';

/**
 * The commands of the journal, for `supersim-agent commands`. While the disk does not answer all of this is refused: who
 * asks would not be told why he waits. A purge that has begun may then still be done.
 *
 * @throws (rejects) SupersimError `busy`
 */
export interface JournalCommands {
  /** Newest first. */
  list(limit: number): Promise<readonly JournalEntry[]>;
  get(id: number): Promise<JournalEntry | undefined>;
  /** Ends a command that has not started, and tells its sender. */
  cancel(id: number): Promise<'cancelled' | 'not-found' | 'too-late'>;
  /** Forgets the ended commands: repeats of them would run again. @returns how many they were */
  purge(): Promise<number>;
}

export function journalCommands(
  journal: Journal,
  runner: Pick<Runner, 'cancel'>,
  database?: Pick<Database, 'whileAnswering'>,
): JournalCommands {
  const { whileAnswering = withoutDisk } = database ?? {};
  const get = (id: number) => whileAnswering(() => journal.get(id));

  async function cancel(id: number): ReturnType<JournalCommands['cancel']> {
    const entry = await get(id);
    if (entry === undefined) return 'not-found';
    if (entry.state !== 'accepted') return 'too-late';
    const { key } = entry.command;
    const waited = runner.cancel(
      ({ startGate }) => startGate?.key !== undefined && Buffer.compare(startGate.key, key) === 0,
    );
    // What was taken in, and does not wait for a place, is about to start.
    return waited ? 'cancelled' : 'too-late';
  }

  return {
    list: (limit) => whileAnswering(() => journal.list({ limit })),
    get,
    cancel,
    purge: () => whileAnswering(() => journal.purge()),
  };
}

const withoutDisk: Database['whileAnswering'] = (work) => work();
