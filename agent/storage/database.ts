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
/** After it could not be opened, how long until it is tried again. */
const RETRY_MS = 5000;

/** Called once for each write: after its COMMIT, or with the reason why it is not on the disk. */
export type Done = (error?: SupersimError) => void;

/** The database of a state folder. Everything in it is synchronous but the commits, which are one for what comes together. */
export interface Database {
  /** False when it is in memory only. */
  readonly persistent: boolean;
  /** How many databases were found damaged, and set aside, since the start. */
  readonly damaged: number;
  /**
   * Reads; from the fresh database when it is found damaged on the way. `work` tells so by a DamagedError.
   *
   * @throws SupersimError `busy` when it cannot be read
   */
  read<T>(work: (connection: Connection) => T): T;
  /** Writes soon, together with what else is written until then. A `busy` error may be given to `done`. */
  write(work: (connection: Connection) => void, done: Done): void;
  /** Commits now what waits to be written. */
  flush(): void;
  /** Has `work` write what memory still knows into each fresh database that takes the place of a damaged one. */
  onFresh(work: (connection: Connection) => void): void;
  /** Commits, and closes. */
  close(): void;
}

export interface DatabaseOptions {
  /** Where the database lies; made if need be. Without it everything is in memory. */
  readonly folder: string | undefined;
  readonly log: Log;
  readonly now?: () => number;
}

interface Write {
  readonly work: (connection: Connection) => void;
  readonly done: Done;
}

/**
 * Opens the database of a state folder. A damaged one is set aside; one that cannot be opened yet (a full disk) is
 * opened when it can be, and refuses until then; in a folder that cannot be written it is in memory, with a warning.
 *
 * @throws SupersimError `state-in-use` when another agent has the folder
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { log, now = Date.now } = options;
  // Where it is missing, this fails, and not each use of the database.
  loadNative();
  const folder = usableFolder(options.folder, log);
  const path = folder === undefined ? ':memory:' : join(folder, DATABASE_NAME);
  const unlock = folder === undefined ? () => undefined : lockFolder(folder, log);
  const fresh: ((connection: Connection) => void)[] = [];
  let connection: Connection | undefined;
  let damaged = 0;
  /** The database is fresh, and what memory knows is not in it yet. */
  let restoring = false;
  let triedAt = Number.NEGATIVE_INFINITY;
  let closed = false;

  function open(): Connection {
    if (closed) throw new SupersimError('busy', 'the journal is closed');
    if (connection !== undefined) return connection;
    // Also when the clock was set back, it is tried.
    if (Math.abs(now() - triedAt) < RETRY_MS) throw new SupersimError('busy', 'the journal cannot be opened');
    triedAt = now();
    try {
      connection = openChecked(path);
    } catch (error) {
      if (!isDamage(error)) throw error;
      lose(error);
      connection = openChecked(path);
    }
    if (restoring) restore(connection);
    triedAt = Number.NEGATIVE_INFINITY;
    return connection;
  }

  /** Puts a damaged database out of the way; the next call of open() starts a fresh one. */
  function lose(error: unknown): void {
    drop();
    const target = folder === undefined ? undefined : setAside(path, new Date(now()));
    damaged++;
    restoring = true;
    triedAt = Number.NEGATIVE_INFINITY;
    log.error({ cause: messageOf(error), setAside: target }, 'the journal was damaged: a fresh one is started');
  }

  function restore(used: Connection): void {
    try {
      transaction(used, () => {
        for (const work of fresh) work(used);
      });
      restoring = false;
    } catch (error) {
      drop();
      throw error;
    }
  }

  function drop(): void {
    try {
      connection?.close();
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the journal could not be closed');
    }
    connection = undefined;
  }

  /** Leaves one file behind, where that is possible; the library does not do it when it closes. */
  function foldLog(): void {
    try {
      connection?.get('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch (error) {
      log.debug({ error: messageOf(error) }, 'the journal was closed with its log');
    }
  }

  /** Does something on the open database, and sees to it after an error. */
  function attempt<T>(work: (connection: Connection) => T): T {
    const used = open();
    try {
      return work(used);
    } catch (error) {
      if (isDamage(error)) lose(error);
      else if (isInputOutput(error)) drop();
      throw error;
    }
  }

  /** A database that is found damaged loses what it held, but not what is being written. */
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

  /** One who goes wrong over it must not keep it from the others. */
  function tell({ done }: Write, error: SupersimError | undefined): void {
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
    for (const write of group) tell(write, failed ?? refused.get(write));
  });

  try {
    open();
  } catch (error) {
    log.error({ error: messageOf(error), path }, 'the journal cannot be opened: commands that need it are refused');
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
      // What was written by those who were told just now: they are told that it is too late.
      committer.flush();
      foldLog();
      drop();
      unlock();
    },
  };
}
