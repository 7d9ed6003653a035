import type { SupersimError } from '../../../shared/errors.js';
import type { Done } from '../../storage/database.js';
import type { Ending, JournalCommand, JournalEntry } from './entry.js';

export interface JournalLimits {
  /** How long an ended command is remembered where there is room, if that is longer than its peer's exchange lifetime. */
  readonly keepMs: number;
  readonly entries: number;
  /** Of all records together. Long replies of what runs may pass it, until the next command is taken in. */
  readonly bytes: number;
}

export const JOURNAL_LIMITS: JournalLimits = { keepMs: 24 * 3_600_000, entries: 10_000, bytes: 16 * 1024 * 1024 };

export interface Recovered {
  /** To be run, with `start()` first; in the order in which they came. */
  readonly run: readonly JournalEntry[];
  /** Ended just now, as `done`, `interrupted` or `refused`: to be reported. */
  readonly ended: readonly JournalEntry[];
}

/** What is told, and kept for repeats, of a command that recovery ends. */
export type TellEnding = (entry: JournalEntry, outcome: RecoveryOutcome) => Omit<Ending, 'outcome'>;

export type RecoveryOutcome = 'done' | 'interrupted' | 'refused';

/** Told of a purge how many commands are forgotten: none after an error. */
export type Purged = (error: SupersimError | undefined, purged: number) => void;

/** The journal of commands. A state is on the disk when its `done` is called without an error; memory has it at once. */
export interface Journal {
  /**
   * Takes a command in, or gives `done` an error: `busy` at the bound, on a full disk, and until `recover()` has
   * succeeded.
   *
   * @returns what is known of it where it is a repeat; `done` is not called then
   */
  accept(command: JournalCommand, done: Done): JournalEntry | undefined;
  /** To be committed before the command runs. It can follow accept() at once: both are then one commit. */
  start(key: Uint8Array, done: Done): void;
  /** When it cannot be written now (`done` is given `busy`), it is kept in memory and written by `maintain()`. */
  finish(key: Uint8Array, ending: Ending, done?: Done): void;
  /** @throws SupersimError `busy` when the disk cannot be read, and so nobody knows */
  find(key: Uint8Array): JournalEntry | undefined;
  /** Newest first. @throws SupersimError `busy` */
  list(options: { readonly limit: number }): JournalEntry[];
  /** @throws SupersimError `busy` */
  get(seq: number): JournalEntry | undefined;
  /** Ends a command that has not started as `refused`; `false` when there is none. */
  cancel(seq: number, ending: Omit<Ending, 'outcome'>, done?: Done): boolean;
  /** Forgets all commands that have ended, also those of which repeats may still come. */
  purge(done?: Purged): void;
  /**
   * Decides, once, what becomes of the commands that had not ended when the last agent did: see `decideRecovery`.
   *
   * @throws SupersimError `busy` when the disk is full: to be called again
   */
  recover(tell: TellEnding): Recovered;
  /** To be called every minute or so: forgets what is old, and writes what could not be written. */
  maintain(): void;
  readonly size: { readonly entries: number; readonly bytes: number; readonly live: number };
}
