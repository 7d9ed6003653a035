import type { FinalCode, SupersimError } from '../../../shared/errors.js';
import type { WriteCallback } from '../../storage/database.js';
import type { Ending, JournalCommand, JournalEntry, JournalOutcome } from './entry.js';

export interface JournalLimits {
  /** How long an ended command is remembered while there is room; at least the exchange lifetime of its peer. */
  readonly keepMs: number;
  /** Commands that are kept whole, with their replies. */
  readonly entries: number;
  /** Bytes of their records. */
  readonly bytes: number;
  /** Commands of which only the identity and the outcome are kept. */
  readonly identities: number;
}

export const JOURNAL_LIMITS: JournalLimits = {
  keepMs: 24 * 3_600_000,
  entries: 10_000,
  bytes: 16 * 1024 * 1024,
  identities: 1_000_000,
};

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

/** What the journal knows of a datagram. */
export type Found =
  | { readonly kind: 'running' }
  /** It has ended; `reply` is undefined where nothing was sent. */
  | { readonly kind: 'ended'; readonly reply: Uint8Array | undefined }
  /** It has ended, and its reply is not kept any more. */
  | { readonly kind: 'forgotten'; readonly outcome: JournalOutcome; readonly code: FinalCode | undefined }
  /** It may have come before: what was remembered then is lost. */
  | { readonly kind: 'lost' }
  /** It is not known whether it has come before. */
  | { readonly kind: 'unknown'; readonly error: SupersimError };

/** Called with what is known of a datagram; undefined when it has not come before. */
export type Then = (found: Found | undefined) => void;

/**
 * The journal of commands. A state is on the disk when its `done` is called without an error; memory has it at once.
 */
export interface Journal {
  /**
   * Looks a datagram up: at once where memory can tell, else when the disk has been read. The datagrams of one peer are
   * answered in the order in which they came.
   *
   * @param key undefined for a datagram whose repeats cannot be recognised: it waits until the journal can be used
   * @param lifetimeMs the exchange lifetime of its peer
   */
  find(key: Uint8Array | undefined, peer: string, lifetimeMs: number, then: Then): void;
  /** Accepts a command that was not found, or gives `done` an error: `busy` at the bound, or on a full disk. */
  accept(command: JournalCommand, done: WriteCallback): void;
  /** Writes that a command was refused without having been accepted, so that it never runs. */
  refuse(command: JournalCommand, ending: Ending, done: WriteCallback): void;
  /** Accepts a command that starts at once, in one step. */
  begin(command: JournalCommand, done: WriteCallback): void;
  /** To be committed before an accepted command runs. */
  start(key: Uint8Array, done: WriteCallback): void;
  /** An end that cannot be written now (`done` gets `busy`) is kept in memory, and written later. */
  finish(key: Uint8Array, ending: Ending, done?: WriteCallback): void;
  /** Newest first. @throws (rejects) SupersimError `busy` */
  list(options: { readonly limit: number }): Promise<JournalEntry[]>;
  /** @throws (rejects) SupersimError `busy` */
  get(seq: number): Promise<JournalEntry | undefined>;
  /** Ends a command that has not started as `refused`. @returns false when there is none */
  cancel(seq: number, ending: Omit<Ending, 'outcome'>, done?: WriteCallback): boolean;
  /** Forgets all ended commands, also those of which repeats may still come; the journal gets a new identity. */
  purge(): Promise<number>;
  /**
   * Reads what is remembered and decides, once, about the commands that had not ended when the previous run of the agent
   * did: see `decideRecovery`. Until then `find` waits.
   *
   * @throws (rejects) SupersimError `busy` when the disk cannot be read or written; call it again
   */
  recover(tell: TellEnding): Promise<Recovered>;
  /** Forgets old entries, and writes those that could not be written. To be called about once a minute. */
  maintain(): void;
  readonly size: {
    /** Commands that are kept whole, and those that have not ended. */
    readonly entries: number;
    readonly bytes: number;
    readonly live: number;
    /** All commands that are remembered. */
    readonly remembered: number;
  };
}
