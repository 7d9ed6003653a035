import type { CommandError, Reply } from '../../../shared/command.js';
import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import type { DeviceOutcome } from '../../../shared/outcome.js';
import type { SeenReply } from '../dedup/entry.js';
import { codeOf, outcomeOf } from '../runner/result.js';
import type { StartGate } from '../runner/task.js';
import { type Ending, isLive, type JournalCommand, type JournalEntry } from './entry.js';
import type { Journal } from './types.js';

/** The journal entry of one datagram, which all of its commands share. */
export interface JournalHandle extends StartGate {
  /** Writes that all commands have ended; calls `then` when that is on the disk, or cannot be. */
  finish(ending: Ending, then: () => void): void;
}

/**
 * Makes the handle of an entry, which is written when the first of its commands is accepted.
 *
 * @param resumed whether the journal has the entry from an earlier run of the agent
 */
export function createJournalHandle(journal: Journal, command: JournalCommand, resumed = false): JournalHandle {
  const { key } = command;
  let state: 'new' | 'accepted' | 'starting' | 'started' = resumed ? 'accepted' : 'new';
  let refusal: SupersimError | undefined;
  let waiting: ((error?: SupersimError) => void)[] = [];

  function accept(): void {
    if (state !== 'new') return;
    state = 'accepted';
    const known = journal.accept(command, (error) => {
      refusal = error;
    });
    // The lookup before found no entry, so this is no repeat that could be answered.
    if (known !== undefined) refusal = new SupersimError('busy', 'the journal has it already');
  }

  function start(run: (error?: SupersimError) => void): void {
    if (state === 'started' || refusal !== undefined) {
      run(refusal);
      return;
    }
    waiting.push(run);
    if (state === 'starting') return;
    state = 'starting';
    journal.start(key, (error) => {
      state = 'started';
      refusal ??= error;
      const runs = waiting;
      waiting = [];
      for (const each of runs) each(refusal);
    });
  }

  return {
    key,
    accept,
    start,
    finish(ending, then) {
      if (state === 'new') then();
      else journal.finish(key, ending, () => then());
    },
  };
}

/** Adds to a start gate that the sender is told before the command runs: the command ends the agent. */
export const acknowledgeBeforeStart = (handle: JournalHandle | undefined, acknowledge: () => void): StartGate => ({
  key: handle?.key,
  accept: () => handle?.accept(),
  start(run) {
    const acknowledgeAndRun = (error?: SupersimError) => {
      if (error === undefined) acknowledge();
      run(error);
    };
    if (handle === undefined) acknowledgeAndRun();
    else handle.start(acknowledgeAndRun);
  },
});

/** Journals a command that already runs, so that it runs again when the agent goes down meanwhile. */
export function journalLate(handle: JournalHandle): void {
  handle.accept();
  handle.start(() => undefined);
}

export const INTERRUPTED: CommandError = {
  code: 'interrupted',
  message: 'the agent or the device went down while it ran; it may have had its effect',
};

/**
 * Returns the reply of a command that an earlier run of the agent accepted: one that had started cannot be `refused`.
 */
export const outcomeAfterRestart = ({ runs }: JournalEntry, reply: Reply): Reply =>
  runs > 0 && outcomeOf(reply) === 'refused' ? { error: INTERRUPTED } : reply;

/** Returns what the journal knows of a datagram; a `busy` error when it cannot be read. */
export function recall(journal: Journal | undefined, key: () => Uint8Array): SeenReply | SupersimError | undefined {
  if (journal === undefined) return undefined;
  try {
    const entry = journal.find(key());
    return entry && { reply: entry.reply ?? undefined, running: isLive(entry) };
  } catch (error) {
    if (isSupersimError(error, 'busy')) return error;
    throw error;
  }
}

/** An entry of several commands has the worst of their outcomes. */
const WORST_FIRST = ['interrupted', 'failed', 'done', 'refused'] as const satisfies readonly DeviceOutcome[];

const rankOf = (reply: Reply): number => WORST_FIRST.indexOf(outcomeOf(reply));

/** Returns how a datagram's commands ended, for its entry. */
export function endingOf(results: readonly { readonly reply: Reply }[], reply: Uint8Array | undefined): Ending {
  let worst: Reply | undefined;
  for (const result of results) if (worst === undefined || rankOf(result.reply) < rankOf(worst)) worst = result.reply;
  return { outcome: worst ? outcomeOf(worst) : 'done', code: worst && codeOf(worst), reply };
}
