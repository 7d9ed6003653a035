import { hash } from 'node:crypto';
import type { CommandError, Reply } from '../../../shared/command.js';
import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import type { DeviceOutcome } from '../../../shared/outcome.js';
import type { Seen } from '../dedup/duplicate-table.js';
import type { StartGate } from '../runner/runner.js';
import { outcomeOf } from '../stats/command-log.js';
import { type Ending, isLive, type JournalCommand, type JournalEntry } from './entry.js';
import type { Journal } from './types.js';

/** A datagram's commands on their way through the journal: all of them are one entry. */
export interface JournalHandle extends StartGate {
  /** They have ended: calls `then` when that is on the disk, or cannot be. */
  finish(ending: Ending, then: () => void): void;
}

/**
 * @param resumed the journal has the entry from an earlier run of the agent
 */
export function createJournalHandle(journal: Journal, command: JournalCommand, resumed = false): JournalHandle {
  let state: 'new' | 'accepted' | 'starting' | 'started' = resumed ? 'accepted' : 'new';
  let refusal: SupersimError | undefined;
  let waiting: ((error?: SupersimError) => void)[] = [];

  function accept(): void {
    if (state !== 'new') return;
    state = 'accepted';
    const known = journal.accept(command, (error) => {
      refusal = error;
    });
    // Whoever asked whether it is a repeat was told that it is none.
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
    journal.start(command.key, (error) => {
      state = 'started';
      refusal ??= error;
      const runs = waiting;
      waiting = [];
      for (const each of runs) each(refusal);
    });
  }

  return {
    key: command.key,
    accept,
    start,
    finish(ending, then) {
      if (state === 'new') then();
      else journal.finish(command.key, ending, () => then());
    },
  };
}

/** The same where the command ends the agent: its sender is told before it runs that the reply comes later. */
export const acknowledgeBeforeStart = (journalled: JournalHandle | undefined, tell: () => void): StartGate => ({
  key: journalled?.key,
  accept: () => journalled?.accept(),
  start(run) {
    const tellAndRun = (error?: SupersimError) => {
      if (error === undefined) tell();
      run(error);
    };
    if (journalled === undefined) tellAndRun();
    else journalled.start(tellAndRun);
  },
});

export const INTERRUPTED: CommandError = {
  code: 'interrupted',
  message: 'the agent or the device went down while it ran; it may have had its effect',
};

/** What a command of the journal came to: of one that had started before, it cannot be said that it never ran. */
export const outcomeAfterRestart = ({ runs }: JournalEntry, reply: Reply): Reply =>
  runs > 0 && outcomeOf(reply) === 'refused' ? { error: INTERRUPTED } : reply;

/** Has a command that runs already run again when the agent goes down meanwhile. */
export function journalLate(journalled: JournalHandle | undefined): void {
  journalled?.accept();
  journalled?.start(() => undefined);
}

/** What the journal knows a datagram by. @param key see `datagramKey` */
export const journalKey = (key: string): Buffer => hash('sha256', Buffer.from(key, 'latin1'), 'buffer');

/**
 * What a datagram needs so that nothing runs twice: `none`, as running it twice does no harm; that it is `recalled`, as
 * nothing runs for it now, but may have before, by a handler that is gone; that it is `remembered` too.
 */
export type DedupPolicy = 'none' | 'lookup' | 'track';

/** What is known of a datagram that has come before. */
export type Known = Pick<Seen, 'reply' | 'running'>;

/** What the journal knows of a datagram; a `busy` error when it cannot be read, and so nobody knows. */
export function recall(journal: Journal | undefined, key: string): Known | SupersimError | undefined {
  try {
    const entry = journal?.find(journalKey(key));
    return entry && { reply: entry.reply ?? undefined, running: isLive(entry) };
  } catch (error) {
    if (isSupersimError(error, 'busy')) return error;
    throw error;
  }
}

/** What one entry says of several commands: the worst of their ends. */
const BY_WEIGHT = ['interrupted', 'failed', 'done', 'refused'] as const satisfies readonly DeviceOutcome[];

/** How a datagram's commands ended, as its entry has it. */
export function endingOf(
  ended: readonly { readonly outcome: DeviceOutcome; readonly code: string | undefined }[],
  reply: Uint8Array | undefined,
): Ending {
  const outcome = BY_WEIGHT.find((each) => ended.some((one) => one.outcome === each)) ?? 'done';
  return { outcome, code: ended.find((one) => one.outcome === outcome)?.code, reply };
}
