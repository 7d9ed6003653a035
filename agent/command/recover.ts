import type { CommandError, Reply } from '../../shared/command.js';
import { isSupersimError, messageOf } from '../../shared/errors.js';
import type { Log } from '../base/log.js';
import type { JournalEntry } from './journal/entry.js';
import { INTERRUPTED } from './journal/handle.js';
import type { Journal, RecoveryOutcome } from './journal/types.js';
import type { Pipeline } from './pipeline.js';

const EXPIRED: CommandError = {
  code: 'expired',
  message: 'it was waiting when the agent stopped, and is too old to run now',
};

/** Replies to commands that recovery ends. */
const REPLIES: Readonly<Record<RecoveryOutcome, Reply>> = {
  done: { result: undefined },
  interrupted: { error: INTERRUPTED },
  refused: { error: EXPIRED },
};

/**
 * Recovers the unfinished commands of the previous run: runs or ends them, and tells their senders.
 *
 * @returns (resolves to) false when the journal cannot be read or written: call it again
 */
export async function recoverCommands(journal: Journal, pipeline: Pipeline, log: Log): Promise<boolean> {
  const contained = <T>(entry: JournalEntry, work: () => T, otherwise?: () => void): T | undefined => {
    try {
      return work();
    } catch (error) {
      log.error({ name: entry.command.name, error: messageOf(error) }, 'journalled command cannot be recovered');
      otherwise?.();
      return undefined;
    }
  };
  try {
    const replies = new Map<number, Reply>();
    const { run, ended } = await journal.recover((entry, outcome) => {
      const ending = REPLIES[outcome];
      replies.set(entry.seq, ending);
      return {
        code: 'error' in ending ? ending.error.code : undefined,
        reply: contained(entry, () => pipeline.encodeEnding(entry, ending)),
      };
    });
    if (run.length + ended.length > 0) {
      log.warn({ run: run.length, ended: ended.length }, 'recovered unfinished commands of the previous run');
    }
    for (const entry of ended)
      contained(entry, () => pipeline.report(entry, replies.get(entry.seq) ?? REPLIES.interrupted));
    for (const entry of run) {
      // It has not run: its start would be in the journal.
      const refuse = () => journal.finish(entry.command.key, { outcome: 'refused', code: 'parse-error' });
      contained(entry, () => pipeline.resume(entry), refuse);
    }
    return true;
  } catch (error) {
    if (!isSupersimError(error, 'busy')) throw error;
    log.error(
      { error: error.message, remedy: error.remedy },
      'the journal is not ready: commands that need it are refused',
    );
    return false;
  }
}
