import type { SqlValue } from '../../shared/sqlite/native.js';
import type { Log } from '../base/log.js';
import type { Clock } from '../base/moment.js';
import type { WriteCallback, WriteWork } from './commit-queue.js';
import type { DatabaseIdentity } from './identity.js';
import type { DamagedError } from './sqlite.js';

/** How the database was opened, or opened again. */
export interface Opened {
  /** False where it can only be read. */
  readonly writable: boolean;
  /** `lost` when what this process wrote before is not in it any more. */
  readonly contents: 'found' | 'kept' | 'lost';
}

export interface DatabaseStatus {
  /** False while it can only be read, or not at all. */
  readonly writable: boolean;
  /** Why it cannot be written. */
  readonly reason: string | undefined;
  /** Number of damaged databases that were set aside since the start. */
  readonly damaged: number;
  /** How often since the start the journal was found to be lost, with what it remembered. */
  readonly lost: number;
  /** How often since the start its deleted files were written again. */
  readonly rewritten: number;
  /** How often since the start the worker ended or hung, and was replaced. */
  readonly restarted: number;
}

/**
 * The database of a state folder. A worker thread reads and writes it: the thread that receives datagrams never waits
 * for the disk. Writes that arrive while a commit is under way share the next.
 */
export interface Database {
  /** False for a database in memory. */
  readonly persistent: boolean;
  readonly status: DatabaseStatus;
  /** Undefined until it has been opened. */
  readonly identity: DatabaseIdentity | undefined;
  /**
   * Writes soon, in one commit with other writes, in order. `work` runs when the commit is put together, and again for
   * a database that had to be opened anew. `done` may get a `busy` error.
   */
  write(work: WriteWork, done: WriteCallback): void;
  /** Reads, after the writes before. @throws (rejects) SupersimError `busy` */
  read(sql: string, values?: readonly SqlValue[]): Promise<readonly unknown[]>;
  /** Checks the structure of the whole file; a damaged one is set aside. @throws (rejects) SupersimError `busy` */
  check(): Promise<void>;
  /** Sets the database aside, as a reader has found damage in it. */
  setAside(found: DamagedError): Promise<void>;
  /**
   * Returns the next number of the count of writes, to be stored in what is written. The highest that was committed is
   * also in a file beside the database: where the database has less, it was set back, and something was lost.
   */
  nextCount(): number;
  /** Returns the number that {@link nextCount} has returned last. */
  readonly lastCount: number;
  /**
   * The highest number whose write was answered before the agent was started; undefined where that is not known. What
   * has a higher one is on the disk although its commit failed, or was never answered.
   */
  readonly lastConfirmed: number | undefined;
  /**
   * Compares the count of the writes that were found in the database with the one beside it. Where it is lower, the
   * database gets a new identity, which says so.
   *
   * @throws (rejects) SupersimError `busy` when that cannot be written
   */
  checkCount(found: number): Promise<void>;
  /** Gives the database a new identity: what it remembered was deleted on purpose. */
  renew(): Promise<void>;
  /** Calls `listener` whenever the database is opened; at once if it is open. */
  onOpen(listener: (opened: Opened) => void): void;
  /** Registers `work`, which writes what is in memory into each fresh database that replaces a lost one. */
  onFresh(work: WriteWork): void;
  /**
   * Does work of somebody who need not wait for the disk: it is refused when the disk does not answer, and given up, but
   * not undone, as soon as it does not.
   *
   * @throws (rejects) SupersimError `busy`
   */
  whileAnswering<T>(work: () => Promise<T>): Promise<T>;
  /** Resolves when the writes and reads before have been answered. */
  flush(): Promise<void>;
  /**
   * Resolves when the worker answers, and where none can run now or it has not opened the database yet; does not settle
   * while one hangs.
   *
   * @throws (rejects) SupersimError `busy` when one hangs that cannot be ended
   */
  probe(): Promise<void>;
  /** Refuses what waits for the disk, as the agent stops and the disk does not answer. */
  abandon(): void;
  /**
   * Commits the waiting writes and closes the database.
   *
   * @returns (resolves to) false when a worker is in a call to the disk that does not end: then the process cannot exit
   */
  close(): Promise<boolean>;
}

export interface DatabaseOptions {
  /** The folder of the database, which is created if needed. Without it the database is in memory. */
  readonly folder: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** How long the disk may take for one commit, in milliseconds. */
  readonly hangMs?: number;
  /** How long it may take for one commit until the status says so. */
  readonly silentMs?: number;
  /** How long `openDatabase` waits for it. */
  readonly startMs?: number;
  readonly retryMs?: number;
}
