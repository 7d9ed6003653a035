import type { Runner } from '../runner/runner.js';
import type { JournalEntry } from './entry.js';
import type { Journal } from './types.js';

/** The commands of the journal, for `supersim-agent commands`. */
export interface JournalCommands {
  /** Newest first. */
  list(limit: number): Promise<readonly JournalEntry[]>;
  get(id: number): Promise<JournalEntry | undefined>;
  /** Ends a command that has not started, and tells its sender. */
  cancel(id: number): Promise<'cancelled' | 'not-found' | 'too-late'>;
  /** Forgets the ended commands: repeats of them would run again. @returns how many they were */
  purge(): Promise<number>;
}

export const journalCommands = (journal: Journal, runner: Pick<Runner, 'cancel'>): JournalCommands => ({
  list: (limit) => journal.list({ limit }),
  get: (id) => journal.get(id),
  async cancel(id) {
    const entry = await journal.get(id);
    if (entry === undefined) return 'not-found';
    if (entry.state !== 'accepted') return 'too-late';
    const { key } = entry.command;
    const waited = runner.cancel(
      ({ startGate }) => startGate?.key !== undefined && Buffer.compare(startGate.key, key) === 0,
    );
    // What was taken in, and does not wait for a place, is about to start.
    return waited ? 'cancelled' : 'too-late';
  },
  purge: () => journal.purge(),
});
