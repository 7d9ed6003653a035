import { join } from 'node:path';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { type Connection, transaction } from '../../shared/sqlite/connection.js';
import { createGroupCommitter } from '../../shared/sqlite/group-commit.js';
import { loadNative } from '../../shared/sqlite/native.js';
import type { Log } from '../base/log.js';
import { lockFolder, usableFolder } from './folder.js';
import { openChecked } from './schema.js';
import { setAside } from './set-aside.js';
import { isConstraint, isDamage, isInputOutput, storageError } from './sqlite.js';

export const DATABASE_NAME = 'journal.db';
/** Delay after a failed open before the next attempt. */
const RETRY_MS = 5000;

/** Called once for each write: after its COMMIT, or with the error that kept it off the disk. */
export type WriteCallback = (error?: SupersimError) => void;

/** The database of a state folder. Reads are synchronous; writes that arrive together share one commit. */
export interface Database {
  /** False for a database in memory. */
  readonly persistent: boolean;
  /** Number of damaged databases that were set aside since the start. */
  readonly damaged: number;
  /**
   * Reads. If `work` finds damage, which it reports by a DamagedError, the read is repeated on the fresh database.
   *
   * @throws SupersimError `busy` when it cannot be read
   */
  read<T>(work: (connection: Connection) => T): T;
  /** Writes soon, in one commit with other writes. `done` may get a `busy` error. */
  write(work: (connection: Connection) => void, done: WriteCallback): void;
  /** Commits the waiting writes now. */
  flush(): void;
  /** Registers `work`, which writes what is in memory into each fresh database that replaces a damaged one. */
  onFresh(work: (connection: Connection) => void): void;
  /** Commits the waiting writes and closes the database. */
  close(): void;
}

export interface DatabaseOptions {
  /** The folder of the database, which is created if needed. Without it the database is in memory. */
  readonly folder: string | undefined;
  readonly log: Log;
  readonly now?: () => number;
}

interface Write {
  readonly work: (connection: Connection) => void;
  readonly done: WriteCallback;
}

/**
 * Opens the database of a state folder. A damaged database is set aside. One that cannot be opened yet (a full disk)
 * refuses until an attempt succeeds. In a folder that cannot be written the database is in memory, with a warning.
 *
 * @throws SupersimError `state-in-use` when another agent has the folder
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { log, now = Date.now } = options;
  // Fails here where the package of this platform is missing, and not at each use of the database.
  loadNative();
  const folder = usableFolder(options.folder, log);
  const path = folder === undefined ? ':memory:' : join(folder, DATABASE_NAME);
  const unlock = folder === undefined ? () => undefined : lockFolder(folder, log);
  const fresh: ((connection: Connection) => void)[] = [];
  let connection: Connection | undefined;
  let damaged = 0;
  /** Whether the database is fresh and not yet restored from memory. */
  let restoring = false;
  let triedAt = Number.NEGATIVE_INFINITY;
  let closed = false;

  function open(): Connection {
    if (closed) throw new SupersimError('busy', 'the journal is closed');
    if (connection !== undefined) return connection;
    // An absolute difference, so that a clock that was set back does not prevent the attempt.
    if (Math.abs(now() - triedAt) < RETRY_MS) throw new SupersimError('busy', 'the journal cannot be opened');
    triedAt = now();
    try {
      connection = openChecked(path);
    } catch (error) {
      if (!isDamage(error)) throw error;
      replaceDamaged(error);
      connection = openChecked(path);
    }
    if (restoring) restore(connection);
    triedAt = Number.NEGATIVE_INFINITY;
    return connection;
  }

  /** Sets a damaged database aside; the next call of open() creates a fresh one. */
  function replaceDamaged(error: unknown): void {
    disconnect();
    const target = folder === undefined ? undefined : setAside(path, new Date(now()));
    damaged++;
    restoring = true;
    triedAt = Number.NEGATIVE_INFINITY;
    log.error({ cause: messageOf(error), setAside: target }, 'journal: damaged; set aside and started a fresh one');
  }

  function restore(used: Connection): void {
    try {
      transaction(used, () => {
        for (const work of fresh) work(used);
      });
      restoring = false;
    } catch (error) {
      disconnect();
      throw error;
    }
  }

  function disconnect(): void {
    try {
      connection?.close();
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'journal: cannot be closed');
    }
    connection = undefined;
  }

  /** Writes the log into the database file, which the library does not do when it closes. */
  function checkpoint(): void {
    try {
      connection?.get('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch (error) {
      log.debug({ error: messageOf(error) }, 'journal: closed without a checkpoint');
    }
  }

  /** Runs `work` on the open database, and handles its errors. */
  function attempt<T>(work: (connection: Connection) => T): T {
    const used = open();
    try {
      return work(used);
    } catch (error) {
      if (isDamage(error)) replaceDamaged(error);
      else if (isInputOutput(error)) disconnect();
      throw error;
    }
  }

  /** Repeats `work` on the fresh database after damage: what is being written is not lost. */
  function attemptTwice<T>(work: (connection: Connection) => T): T {
    try {
      return attempt(work);
    } catch (error) {
      if (!isDamage(error)) throw error;
      return attempt(work);
    }
  }

  function commit(group: readonly Write[]): Map<Write, SupersimError> {
    return attemptTwice((used) => {
      const refused = new Map<Write, SupersimError>();
      transaction(used, () => {
        for (const write of group) {
          try {
            write.work(used);
          } catch (error) {
            if (!isConstraint(error)) throw error;
            refused.set(write, storageError(error));
          }
        }
      });
      return refused;
    });
  }

  /** Calls `done`; an error that it throws must not affect other writes. */
  function notify({ done }: Write, error: SupersimError | undefined): void {
    try {
      done(error);
    } catch (thrown) {
      log.error({ error: messageOf(thrown) }, 'internal error');
    }
  }

  const committer = createGroupCommitter<Write>((group) => {
    let refused = new Map<Write, SupersimError>();
    let failed: SupersimError | undefined;
    try {
      refused = commit(group);
    } catch (error) {
      failed = storageError(error);
    }
    for (const write of group) notify(write, failed ?? refused.get(write));
  });

  try {
    open();
  } catch (error) {
    log.error({ error: messageOf(error), path }, 'journal: cannot be opened; commands that need it are refused');
  }
  return {
    persistent: folder !== undefined,
    get damaged() {
      return damaged;
    },
    read(work) {
      try {
        return attemptTwice(work);
      } catch (error) {
        throw storageError(error);
      }
    },
    write(work, done) {
      committer.add({ work, done });
    },
    flush: committer.flush,
    onFresh: (work) => void fresh.push(work),
    close() {
      if (closed) return;
      committer.flush();
      closed = true;
      // Writes that a `done` has just queued fail, as the database is closed.
      committer.flush();
      checkpoint();
      disconnect();
      unlock();
    },
  };
}
