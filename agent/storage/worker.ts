import type { MessagePort } from 'node:worker_threads';
import { systemCodeOf } from '../../shared/errors.js';
import { type Connection, transaction } from '../../shared/sqlite/connection.js';
import { loadNative, type SqlValue } from '../../shared/sqlite/native.js';
import { runBatch } from './batch.js';
import { makeRoom, type OpenedFile, openDatabaseFile, writeAgain } from './files.js';
import { DATABASE_NAME, type Marker, writeMarker } from './folder.js';
import { createDatabase, REPLACE_IDENTITY } from './schema.js';
import { setAside } from './set-aside.js';
import { checkStructure, isDamage, isInputOutput, reasonOf, WRITE_BACK } from './sqlite.js';

/** What the worker is started with. */
export interface WorkerSetup {
  /** Without it the database is in memory. */
  readonly folder: string | undefined;
  /** Path of SQLite's native code. */
  readonly native: string;
  /**
   * Whether a sync has failed: the log is written into the database before it is used again, as a later sync does not
   * write again what the failed one should have written.
   */
  readonly writeBack: boolean;
}

export interface Query {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

/** What the worker is asked; each request is answered by one {@link Answer}, in order. */
export type Request =
  | {
      readonly kind: 'batch';
      /** Statements that were not in a batch before; they are numbered in the order of their first use. */
      readonly sql: readonly string[];
      readonly memory: ArrayBuffer;
      /** 0 for a batch of queries only. */
      readonly length: number;
      /** Run after the commit, or the failure, of the writes. */
      readonly queries: readonly Query[];
      /** The highest number of the count of writes in the batch; 0 when none of them is counted. */
      readonly count: number;
    }
  /** Checks the structure of the whole file. */
  | { readonly kind: 'check' }
  /** Gives the database an identity, and writes it beside the database too. */
  | { readonly kind: 'identify'; readonly id: string; readonly record: Uint8Array }
  /** Writes beside the database which it is, or that it is about to become another. */
  | { readonly kind: 'mark'; readonly marker: Exclude<Marker, undefined> }
  /** Sets the database aside, as a reader found damage in it. */
  | { readonly kind: 'set-aside'; readonly cause: string }
  /** Writes the log into the database, and closes it. */
  | { readonly kind: 'close' };

/** Has the worker end; it is not answered. */
export interface EndRequest {
  readonly kind: 'end';
}

/**
 * Why a request failed. After `write` (a full disk) the worker goes on. After the others it must be replaced by another,
 * which opens the database anew: after `io` as it is; after `rewritten` as it was written again; after `lost`, and after
 * `damaged`, when it was set aside, without what was in it.
 */
export interface Failure {
  readonly kind: 'write' | 'io' | 'rewritten' | 'lost' | 'damaged';
  readonly reason: string;
}

/** How the database was opened. */
export type Opening =
  | ({
      readonly kind: 'opened';
      /** The highest number that was committed, as the file beside the database has it; undefined where that is not known. */
      readonly counted: number | undefined;
      /** Whether it certainly is the highest. */
      readonly isCountCurrent: boolean;
    } & Pick<OpenedFile, 'writable' | 'reason' | 'created' | 'marker' | 'damage'>)
  | { readonly kind: 'not-opened'; readonly reason: string; readonly inUse: boolean };

export interface Answer {
  readonly kind: 'answer';
  readonly failure: Failure | undefined;
  /** For each query its rows, or why there are none. */
  readonly results: readonly (readonly unknown[] | Failure)[];
  /** The memory of the batch, to be used again. */
  readonly memory: ArrayBuffer | undefined;
  /** How long the commit took, in milliseconds. */
  readonly commitMs: number;
}

/** Opens the database and answers requests, one after the other. Everything waits for the disk here, and only here. */
export function startWorker(port: MessagePort, { folder, native, writeBack }: WorkerSetup): void {
  const sql: string[] = [];
  /** After this failure the files are not touched any more: another worker opens them anew. */
  let over: Failure | undefined;
  let file: Pick<OpenedFile, 'connection' | 'writable' | 'reason' | 'watch' | 'count'> | undefined;

  function open(): Opening {
    try {
      loadNative(native);
      if (folder === undefined) {
        file = { connection: createDatabase(':memory:'), writable: true, count: undefined, watch: undefined };
        return {
          kind: 'opened',
          counted: undefined,
          isCountCurrent: false,
          writable: true,
          created: true,
          marker: undefined,
        };
      }
      const { writable, created, marker, damage, reason, ...rest } = openDatabaseFile(folder, new Date(), writeBack);
      file = { ...rest, writable, reason };
      const { before: counted, isCurrent: isCountCurrent = false } = rest.count ?? {};
      return { kind: 'opened', counted, isCountCurrent, writable, created, marker, damage, reason };
    } catch (error) {
      return { kind: 'not-opened', reason: reasonOf(error), inUse: systemCodeOf(error) === 'SQLITE_BUSY' };
    }
  }

  function answer(request: Request): Answer {
    const begun = performance.now();
    const failure = attempt(() => perform(request));
    const commitMs = performance.now() - begun;
    const memory = request.kind === 'batch' ? request.memory : undefined;
    const queries = request.kind === 'batch' ? request.queries : [];
    const results = queries.map(({ sql: text, values }) => {
      let rows: readonly unknown[] = [];
      const failed = attempt(() => {
        rows = openConnection().all(text, values);
      });
      return failed ?? rows;
    });
    file?.watch?.note();
    return { kind: 'answer', failure, results, memory, commitMs };
  }

  function openConnection(): Connection {
    if (file === undefined) throw new Error('the database is not open');
    return file.connection;
  }

  function perform(request: Request): void {
    const connection = openConnection();
    const gone = file?.watch?.missing();
    if (gone !== undefined) throw new GoneError(gone);
    switch (request.kind) {
      case 'batch':
        sql.push(...request.sql);
        if (request.length === 0) return;
        if (file?.writable === false) throw new Error(file.reason);
        if (folder !== undefined) makeRoom(connection, folder, request.length);
        transaction(connection, () => runBatch(request.memory, request.length, sql, connection.run));
        if (request.count > 0) writeCount(request.count);
        return;
      case 'check':
        checkStructure(connection);
        return;
      case 'identify':
        transaction(connection, () => connection.run(REPLACE_IDENTITY, [request.record]));
        file?.count?.begin();
        if (folder !== undefined) writeMarker(folder, { id: request.id });
        return;
      case 'mark':
        if (request.marker !== 'creating') file?.count?.begin();
        if (folder !== undefined) writeMarker(folder, request.marker);
        return;
      case 'set-aside':
        throw new FoundDamage(request.cause);
      case 'close':
        // The library does not do it when it closes.
        if (file?.writable === true) connection.get(WRITE_BACK);
        connection.close();
    }
  }

  /** What it is for is not worth a refusal. */
  function writeCount(count: number): void {
    try {
      file?.count?.write(count);
    } catch {
      // The disk is full: the file was not longer before either.
    }
  }

  function attempt(work: () => void): Failure | undefined {
    if (over !== undefined) return over;
    try {
      work();
      return undefined;
    } catch (error) {
      const failure = failureOf(error);
      if (failure.kind !== 'write') over = failure;
      return failure;
    }
  }

  function failureOf(error: unknown): Failure {
    if (error instanceof GoneError) return restore(error.path);
    if (isDamage(error) || error instanceof FoundDamage) return loseDamaged(reasonOf(error));
    return { kind: isInputOutput(error) ? 'io' : 'write', reason: reasonOf(error) };
  }

  /** The open file still has everything, though its name is gone. */
  function restore(path: string): Failure {
    try {
      const connection = openConnection();
      if (folder === undefined) return { kind: 'io', reason: `${path} was deleted` };
      if (path.endsWith('-wal')) connection.get(WRITE_BACK);
      else writeAgain(connection, folder, new Date());
      return { kind: 'rewritten', reason: `${path} was deleted or replaced, and written again from what was open` };
    } catch (error) {
      return {
        kind: 'lost',
        reason: `${path} was deleted or replaced, and cannot be written again: ${reasonOf(error)}`,
      };
    }
  }

  function loseDamaged(cause: string): Failure {
    if (folder === undefined) return { kind: 'damaged', reason: cause };
    try {
      const path = setAside(`${folder}/${DATABASE_NAME}`, new Date());
      return { kind: 'damaged', reason: `${cause}; set aside as ${path}` };
    } catch (error) {
      return { kind: 'damaged', reason: `${cause}; it cannot be set aside: ${reasonOf(error)}` };
    }
  }

  port.postMessage(open());
  port.on('message', (request: Request | EndRequest) => {
    if (request.kind === 'end') {
      // Nothing else keeps the thread.
      port.close();
      return;
    }
    const given = answer(request);
    port.postMessage(given, given.memory === undefined ? [] : [given.memory]);
  });
}

/** A file of the database is no longer in its folder. */
class GoneError extends Error {
  readonly path: string;

  constructor(path: string) {
    super(`${path} is gone`);
    this.path = path;
  }
}

/** A reader found damage. */
class FoundDamage extends Error {}
