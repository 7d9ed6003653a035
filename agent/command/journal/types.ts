import type { SupersimError } from '../../../shared/errors.js';
import type { WriteCallback } from '../../storage/database.js';
import type { Ending, JournalCommand, JournalEntry } from './entry.js';

export interface JournalLimits {
  /** How long an ended command is remembered while there is room; at least the exchange lifetime of its peer. */
  readonly keepMs: number;
  readonly entries: number;
  /** Bytes of all records. Long replies of running commands may exceed it, until the next command is accepted. */
  readonly bytes: number;
}

export const JOURNAL_LIMITS: JournalLimits = { keepMs: 24 * 3_600_000, entries: 10_000, bytes: 16 * 1024 * 1024 };

export interface Recovered {
  /** Commands to run, with `start()` first, in the order of their receipt. */
  readonly run: readonly JournalEntry[];
  /** Commands that recovery ended as `done`, `interrupted` or `refused`: to be reported. */
  readonly ended: readonly JournalEntry[];
}

/** Returns the code and the reply of a command that recovery ends. */
export type TellEnding = (entry: JournalEntry, outcome: RecoveryOutcome) => Omit<Ending, 'outcome'>;

export type RecoveryOutcome = 'done' | 'interrupted' | 'refused';

/** Called with the number of purged commands: none after an error. */
export type Purged = (error: SupersimError | undefined, purged: number) => void;

/**
 * The journal of commands. A state is on the disk when its `done` is called without an error; memory has it at once.
 */
export interface Journal {
  /**
   * Accepts a command, or gives `done` an error: `busy` at the bound, on a full disk, and until `recover()` has
   * succeeded.
   *
   * @returns the entry of a repeat; `done` is not called then
   */
  accept(command: JournalCommand, done: WriteCallback): JournalEntry | undefined;
  /** To be committed before the command runs. It can follow accept() at once: both are then one commit. */
  start(key: Uint8Array, done: WriteCallback): void;
  /** An end that cannot be written now (`done` gets `busy`) is kept in memory, and written by `maintain()`. */
  finish(key: Uint8Array, ending: Ending, done?: WriteCallback): void;
  /** @throws SupersimError `busy` when the disk cannot be read */
  find(key: Uint8Array): JournalEntry | undefined;
  /** Newest first. @throws SupersimError `busy` */
  list(options: { readonly limit: number }): JournalEntry[];
  /** @throws SupersimError `busy` */
  get(seq: number): JournalEntry | undefined;
  /** Ends a command that has not started as `refused`. @returns false when there is none */
  cancel(seq: number, ending: Omit<Ending, 'outcome'>, done?: WriteCallback): boolean;
  /** Forgets all ended commands, also those of which repeats may still come. */
  purge(done?: Purged): void;
  /**
   * Decides, once, about the commands that had not ended when the previous run of the agent did: see `decideRecovery`.
   *
   * @throws SupersimError `busy` when the disk is full; call it again
   */
  recover(tell: TellEnding): Recovered;
  /** Forgets old entries, and writes those that could not be written. To be called about once a minute. */
  maintain(): void;
  readonly size: { readonly entries: number; readonly bytes: number; readonly live: number };
}
