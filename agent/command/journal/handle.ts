import type { CommandError, Reply } from '../../../shared/command.js';
import type { SupersimError } from '../../../shared/errors.js';
import type { DeviceOutcome } from '../../../shared/outcome.js';
import type { SeenReply } from '../dedup/entry.js';
import { codeOf, outcomeOf } from '../runner/result.js';
import type { StartGate } from '../runner/task.js';
import type { Ending, JournalCommand, JournalEntry, JournalOutcome } from './entry.js';
import type { Found, Journal } from './types.js';

/** The journal entry of one datagram, which all of its commands share. */
export interface JournalHandle extends StartGate {
  /**
   * Writes that all commands have ended; calls `then` when that is on the disk, or with the reason why it is not.
   *
   * @param isFinal whether a repeat must get the same outcome also when no command was accepted
   */
  finish(ending: Ending, isFinal: boolean, then: (error?: SupersimError) => void): void;
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
    journal.accept(command, (error) => {
      refusal = error;
    });
  }

  function start(run: (error?: SupersimError) => void): void {
    if (state === 'started' || refusal !== undefined) {
      run(refusal);
      return;
    }
    waiting.push(run);
    if (state === 'starting') return;
    const isNew = state === 'new';
    state = 'starting';
    if (isNew) journal.begin(command, started);
    else journal.start(key, started);
  }

  function started(error: SupersimError | undefined): void {
    state = 'started';
    refusal ??= error;
    const runs = waiting;
    waiting = [];
    for (const each of runs) each(refusal);
  }

  return {
    key,
    accept,
    start,
    finish(ending, isFinal, then) {
      if (state !== 'new') journal.finish(key, ending, then);
      else if (isFinal) journal.refuse(command, ending, then);
      else then();
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
  handle.start(() => undefined);
}

export const INTERRUPTED: CommandError = {
  code: 'interrupted',
  message: 'the agent or the device went down while it ran; it may have had its effect',
};

/** Answers a command of which it is not known whether it has come before. */
export const LOST: Reply = {
  error: {
    code: 'interrupted',
    message: 'the device has lost its record of commands, and may have run it; check before you send it again',
  },
};

/**
 * Returns the reply of a command that an earlier run of the agent accepted: one that had started cannot be `refused`.
 */
export const outcomeAfterRestart = ({ runs }: JournalEntry, reply: Reply): Reply =>
  runs > 0 && outcomeOf(reply) === 'refused' ? { error: INTERRUPTED } : reply;

/**
 * Returns the reply to a repeat of a command whose own reply is not kept any more.
 *
 * @param isAlone false for one of several commands in a datagram, of which the worst outcome is known
 */
export function replyOfForgotten(found: Found & { kind: 'forgotten' }, isAlone: boolean): Reply {
  const { outcome, code } = found;
  if (outcome === 'done') return { result: undefined, forgotten: true };
  const message = isAlone
    ? 'it ended so; what it answered is no longer kept'
    : 'one of the commands in its datagram ended so; what each answered is no longer kept';
  return { error: { code: code ?? FORGOTTEN_CODES[outcome], message } };
}

/** Where the code is not known either. */
const FORGOTTEN_CODES = {
  failed: 'handler-failed',
  interrupted: 'interrupted',
  refused: 'busy',
} as const satisfies Record<Exclude<JournalOutcome, 'done'>, CommandError['code']>;

/** Returns what a repeat is answered from, where the journal has it. */
export function seenReplyOf(found: Found): SeenReply | undefined {
  if (found.kind === 'running') return { reply: undefined, running: true };
  return found.kind === 'ended' ? { reply: found.reply, running: false } : undefined;
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
