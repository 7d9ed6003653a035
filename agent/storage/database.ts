import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { nativePath, type SqlValue } from '../../shared/sqlite/native.js';
import { formatHolder, holdersOf } from '../base/file-holders.js';
import type { Log } from '../base/log.js';
import type { Clock } from '../base/moment.js';
import { createBatchPacker, type RunStatement } from './batch.js';
import { DATABASE_NAME } from './folder.js';
import { createIdentity, IDENTITY_QUERY, type JournalIdentity, parseIdentity, replaceIdentity } from './identity.js';
import { REWRITES } from './schema.js';
import { createSlices } from './slices.js';
import { DamagedError, storageError } from './sqlite.js';
import type { Answer, Failure, Opening, Query, WorkerSetup } from './worker.js';
import { startWorkerLink, type WorkerLink } from './worker-link.js';

/** Delay after a failed open before the next attempt. */
const RETRY_MS = 5000;
/** How long the disk may take for one commit; a slow SD card takes a second. */
const HANG_MS = 30_000;
/** How long the end of a worker may take. */
const END_MS = 1000;
/** How long a stop waits for the last commit. */
const CLOSE_MS = 5000;
/** Most writes and reads that wait for the disk; further ones are refused. */
const MAX_QUEUED = 16_384;
/** Most writes in one commit. */
const MAX_BATCH = 4096;
/** Most turns of the event loop that a write waits for others. Node reads up to 32 datagrams in each. */
const MAX_TURNS = 8;
/** Writes are gathered for this part of the time that the last commit took, and for at most so long. */
const GATHER_SHARE = 0.05;
const MAX_GATHER_MS = 2;

/** Called once for each write: after its COMMIT, or with the error that kept it off the disk, perhaps. */
export type WriteCallback = (error?: SupersimError) => void;

/** How the database was opened, or opened again. */
export interface Opened {
  /** False where it can only be read. */
  readonly writable: boolean;
  /** `lost` when what this process wrote before is not in it any more. */
  readonly contents: 'found' | 'kept' | 'lost';
}

export interface DatabaseStatus {
  /** False while it can only be read, or not at all, or the last write failed. */
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
  readonly identity: JournalIdentity | undefined;
  /**
   * Writes soon, in one commit with other writes, in order. `work` runs when the commit is put together, and again for
   * a database that had to be opened anew. `done` may get a `busy` error.
   */
  write(work: (run: RunStatement) => void, done: WriteCallback): void;
  /** Reads, after the writes before. @throws (rejects) SupersimError `busy` */
  read(sql: string, values?: readonly SqlValue[]): Promise<readonly unknown[]>;
  /** Checks the structure of the whole file; a damaged one is set aside. @throws (rejects) SupersimError `busy` */
  check(): Promise<void>;
  /** Sets the database aside, as a reader has found damage in it. */
  setAside(found: DamagedError): Promise<void>;
  /** Gives the database a new identity: what it remembered was deleted on purpose. */
  renew(): Promise<void>;
  /** Calls `listener` whenever the database is opened; at once if it is open. */
  onOpen(listener: (opened: Opened) => void): void;
  /** Registers `work`, which writes what is in memory into each fresh database that replaces a lost one. */
  onFresh(work: (run: RunStatement) => void): void;
  /** Resolves when the writes and reads before have been answered. */
  flush(): Promise<void>;
  /**
   * Resolves when the worker answers, and where none can run now; does not settle while one hangs.
   *
   * @throws (rejects) SupersimError `busy` when one hangs that cannot be ended
   */
  probe(): Promise<void>;
  /** Commits the waiting writes and closes the database. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** The folder of the database, which is created if needed. Without it the database is in memory. */
  readonly folder: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** How long the disk may take for one commit, in milliseconds. */
  readonly hangMs?: number;
  readonly retryMs?: number;
}

type Item =
  | {
      readonly kind: 'write';
      /** Whether the commit that it was in has failed before. */
      isRetried: boolean;
      readonly work: (run: RunStatement) => void;
      readonly done: WriteCallback;
    }
  | {
      readonly kind: 'read';
      isRetried: boolean;
      readonly query: Query;
      readonly resolve: (rows: readonly unknown[]) => void;
      readonly reject: (error: SupersimError) => void;
    };

/**
 * Opens the database of a state folder. A damaged database is set aside. In a folder that cannot be written it can only
 * be read; one that cannot be opened yet (a full disk) refuses until an attempt succeeds.
 *
 * @throws (rejects) SupersimError `state-in-use` when another process has the folder; Error where SQLite is not installed
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { folder, clock, log, hangMs = HANG_MS, retryMs = RETRY_MS } = options;
  let setup: WorkerSetup = { folder, native: nativePath(), writeBack: false };
  const packer = createBatchPacker();
  const answers = createSlices();
  const listeners: ((opened: Opened) => void)[] = [];
  const fresh: ((run: RunStatement) => void)[] = [];
  const counts = { damaged: 0, lost: 0, rewritten: 0, restarted: 0 };
  let queue: Item[] = [];
  /** The worker, while it has the database open. */
  let link: WorkerLink | undefined;
  let state: 'starting' | 'open' | 'read-only' | 'failed' | 'closed' = 'starting';
  let reason: string | undefined;
  /** Why the last write failed, while the database is open: a full disk. */
  let writeFailure: string | undefined;
  let identity: JournalIdentity | undefined;
  /** Whether this process has had it open, so that a database which is created now has lost something. */
  let wasOpen = false;
  /** Whether the database is fresh and not yet restored from memory. */
  let restoring = false;
  let lossCause: string | undefined;
  /** Whether a worker is in a call to the disk that does not end. */
  let hangs = false;
  let replacedAt = Number.NEGATIVE_INFINITY;
  let retryTimer: NodeJS.Timeout | undefined;
  let scheduled: NodeJS.Immediate | undefined;
  let busy = false;
  let gathered = 0;
  let turns = 0;
  let gatherUntil = 0;

  /** @param isAgain whether it was just done, and a damaged database was set aside */
  async function start(isAgain = false): Promise<Opening | undefined> {
    state = 'starting';
    const started = startWorkerLink(setup, hangMs);
    try {
      const opening = await started.opening;
      if (opening.kind === 'opened') {
        packer.reset();
        identity = await establishIdentity(started, opening);
        opened(started, opening);
        return opening;
      }
      await started.end();
      failed(opening.inUse && folder !== undefined ? (await inUse(folder)).message : opening.reason);
      return opening;
    } catch (error) {
      if (error instanceof DamagedError) {
        counts.damaged++;
        lossCause = error.message;
        await started.end();
        if (!isAgain) return start(true);
      }
      // One that hangs cannot be ended.
      void started.end();
      failed(messageOf(error));
      return undefined;
    }
  }

  /** Reads the journal's identity, or gives it one, and tells whether the journal before was lost. */
  async function establishIdentity(used: WorkerLink, opening: Opening & { kind: 'opened' }): Promise<JournalIdentity> {
    const { marker, damage, created, writable } = opening;
    const known = await readIdentity(used);
    const marked = typeof marker === 'object' ? marker.id : undefined;
    const cause = lossCause ?? lossOf(marked, damage?.cause, known?.id, created);
    if (damage !== undefined) {
      counts.damaged++;
      log.error({ cause: damage.cause, setAside: damage.path }, 'journal: damaged; set aside and started a fresh one');
    }
    if (known !== undefined && (cause === undefined || !writable)) {
      if (writable && marked !== known.id) expectAnswer(await used.ask({ kind: 'mark', marker: { id: known.id } }));
      return known;
    }
    const next = createIdentity(clock(), cause !== undefined);
    if (!writable) return next;
    if (cause !== undefined) {
      counts.lost++;
      log.error(
        { cause, folder },
        'journal: lost; a command of which it may have known is answered as interrupted for a while, and does not run',
      );
    }
    await writeIdentity(used, next);
    lossCause = undefined;
    return next;
  }

  const lossOf = (
    marked: string | undefined,
    damage: string | undefined,
    known: string | undefined,
    created: boolean,
  ): string | undefined => {
    if (damage !== undefined) return damage;
    if (created) return marked === undefined ? undefined : `there was a journal, but ${DATABASE_NAME} is missing`;
    return marked === undefined || marked === known ? undefined : `${DATABASE_NAME} is that of another journal`;
  };

  async function writeIdentity(used: WorkerLink, next: JournalIdentity): Promise<void> {
    const { sql, values } = replaceIdentity(next);
    packer.reuse(undefined);
    packer.run(sql, values);
    expectAnswer(await used.ask({ kind: 'batch', ...packer.take(), queries: [] }));
    if (folder !== undefined) expectAnswer(await used.ask({ kind: 'mark', marker: { id: next.id } }));
  }

  function opened(started: WorkerLink, { writable, created, ...opening }: Opening & { kind: 'opened' }): void {
    if (state === 'closed') {
      void started.end();
      return;
    }
    link = started;
    const contents = !wasOpen ? 'found' : created ? 'lost' : 'kept';
    state = writable ? 'open' : 'read-only';
    if (writable) setup = { ...setup, writeBack: false };
    writeFailure = undefined;
    reason = opening.reason;
    if (writable) {
      wasOpen = true;
      if (contents === 'lost') restoring = true;
    } else {
      log.error({ folder, reason }, 'journal: cannot be written; commands that need it are refused');
      failWrites(reason ?? '');
      retryLater();
    }
    for (const listener of listeners) listener({ writable, contents });
    schedule();
  }

  function failed(why: string): void {
    if (state === 'closed') return;
    state = 'failed';
    if (reason !== why)
      log.error({ folder, reason: why }, 'journal: cannot be opened; commands that need it are refused');
    reason = why;
    failAll(why);
    retryLater();
  }

  function retryLater(): void {
    retryTimer ??= setTimeout(() => {
      retryTimer = undefined;
      if (state === 'failed') void start();
      else if (state === 'open') tryWrite();
      else if (state === 'read-only') {
        if (isWritable(folder)) replaceWorker();
        else retryLater();
      }
    }, retryMs);
  }

  /** Ends the worker, and starts another; not more often than once in a while. */
  function replaceWorker(): void {
    const used = link;
    link = undefined;
    if (state === 'closed' || used === undefined) return;
    state = 'starting';
    const timer = setTimeout(() => {
      // The call to the disk in which it hangs cannot be ended.
      hangs = true;
      refuseUntilOpened();
    }, END_MS);
    void used.end().then(() => {
      clearTimeout(timer);
      hangs = false;
      if (state === 'closed') return;
      // Replacing it again at once would help no more than it has just done.
      const isFirst = performance.now() - replacedAt >= retryMs;
      replacedAt = performance.now();
      if (isFirst) void start();
      else {
        refuseUntilOpened();
        retryLater();
      }
    });
  }

  function refuseUntilOpened(): void {
    if (state === 'closed') return;
    state = 'failed';
    failAll(reason ?? 'it is opened anew');
  }

  function schedule(): void {
    if (scheduled !== undefined || busy || link === undefined) return;
    if (queue.length === 0 && !(restoring && state === 'open')) return;
    gathered = -1;
    turns = 0;
    scheduled = setImmediate(gather);
  }

  function gather(): void {
    const isQuiet = queue.length === gathered || turns >= MAX_TURNS;
    if (isQuiet && performance.now() >= gatherUntil) {
      scheduled = undefined;
      void send();
      return;
    }
    gathered = queue.length;
    turns++;
    scheduled = setImmediate(gather);
  }

  async function send(): Promise<void> {
    const used = link;
    if (used === undefined || busy) return;
    busy = true;
    const items = queue.length > MAX_BATCH ? queue.splice(0, MAX_BATCH) : queue;
    if (items === queue) queue = [];
    const isRestoring = restoring && state === 'open';
    try {
      packer.reuse(undefined);
      if (isRestoring) for (const work of fresh) work(packer.run);
      for (const item of items) if (item.kind === 'write') item.work(packer.run);
      const queries = items.flatMap((item) => (item.kind === 'read' ? [item.query] : []));
      const answer = await used.ask({ kind: 'batch', ...packer.take(), queries });
      packer.reuse(answer.memory);
      gatherUntil = performance.now() + Math.min(MAX_GATHER_MS, answer.commitMs * GATHER_SHARE);
      busy = false;
      if (isRestoring && answer.failure === undefined) restoring = false;
      settle(items, answer);
    } catch (error) {
      busy = false;
      workerEnded(used, messageOf(error));
      retryItems(items, messageOf(error));
    }
    schedule();
  }

  function workerEnded(used: WorkerLink, why: string): void {
    if (state === 'closed' || link !== used) return;
    counts.restarted++;
    log.error({ error: why }, 'journal: the storage worker does not answer; it is replaced');
    reason = why;
    replaceWorker();
  }

  function settle(items: readonly Item[], answer: Answer): void {
    judgeWrites(items, answer);
    const fatal = fatalFailure(answer);
    if (fatal === undefined) {
      tell(items, answer);
      return;
    }
    if (fatal.kind === 'rewritten') {
      counts.rewritten++;
      log.error({ cause: fatal.reason }, 'journal: a file of it was deleted; nothing is lost');
    } else if (fatal.kind !== 'io') {
      lossCause = fatal.reason;
      if (fatal.kind === 'damaged') counts.damaged++;
    } else {
      log.error({ error: fatal.reason }, 'journal: the disk fails; it is opened anew');
      reason = fatal.reason;
      // What a failed sync has left in the memory of the system need not ever reach the disk.
      setup = { ...setup, writeBack: true };
    }
    replaceWorker();
    retryItems(items, fatal.reason);
  }

  /**
   * Writes and reads again with the worker that is started now. Whether a commit that failed is on the disk is not known:
   * all writes are such that they can be repeated.
   */
  function retryItems(items: readonly Item[], why: string): void {
    const failed = items.filter((item) => item.isRetried);
    const again = items.filter((item) => !item.isRetried);
    for (const item of again) item.isRetried = true;
    failItems(failed, why);
    if (state === 'starting') queue = [...again, ...queue];
    else failItems(again, why);
  }

  /** Notes that writes fail although the database is open, and tries until one succeeds. */
  function judgeWrites(items: readonly Item[], { failure }: Answer): void {
    if (failure === undefined) {
      if (items.some(({ kind }) => kind === 'write')) writeFailure = undefined;
    } else if (failure.kind === 'write') {
      const { reason: why } = failure;
      if (writeFailure === undefined) {
        log.error({ folder, reason: why }, 'journal: cannot be written; commands that need it are refused');
      }
      writeFailure = why;
      retryLater();
    }
  }

  /** Writes what is there already, about as much as a command, to learn whether the disk has room again. */
  function tryWrite(): void {
    if (writeFailure === undefined) return;
    const work = (run: RunStatement) => {
      for (const sql of REWRITES) run(sql, []);
    };
    add({ kind: 'write', isRetried: false, work, done: () => undefined });
  }

  function fatalFailure({ failure, results }: Answer): Failure | undefined {
    const all = [failure, ...results.map((result) => ('kind' in result ? result : undefined))];
    return all.find((one) => one !== undefined && one.kind !== 'write');
  }

  function tell(items: readonly Item[], { failure, results }: Answer): void {
    const error = failure && storageError(failure.reason);
    let next = 0;
    for (const item of items) {
      if (item.kind === 'write') answers.add(() => notify(item.done, error));
      else {
        const result = results[next++] ?? [];
        answers.add(() => ('kind' in result ? item.reject(storageError(result.reason)) : item.resolve(result)));
      }
    }
  }

  /** Calls `done`; an error that it throws must not affect other writes. */
  function notify(done: WriteCallback, error: SupersimError | undefined): void {
    try {
      done(error);
    } catch (thrown) {
      log.error({ error: messageOf(thrown) }, 'internal error');
    }
  }

  function failItems(items: readonly Item[], why: string): void {
    const error = storageError(why);
    for (const item of items)
      answers.add(() => (item.kind === 'write' ? notify(item.done, error) : item.reject(error)));
  }

  function failAll(why: string): void {
    const items = queue;
    queue = [];
    failItems(items, why);
  }

  function failWrites(why: string): void {
    const writes = queue.filter(({ kind }) => kind === 'write');
    queue = queue.filter(({ kind }) => kind === 'read');
    failItems(writes, why);
  }

  function add(item: Item): void {
    const why = refusalOf(item);
    if (why !== undefined) {
      failItems([item], why);
      return;
    }
    queue.push(item);
    schedule();
  }

  function refusalOf({ kind }: Item): string | undefined {
    if (state === 'closed') return 'the journal is closed';
    if (state === 'failed' || (state === 'read-only' && kind === 'write')) return reason ?? 'it cannot be opened';
    return queue.length < MAX_QUEUED ? undefined : 'too many commands wait for the disk';
  }

  const read = (sql: string, values: readonly SqlValue[] = []) =>
    new Promise<readonly unknown[]>((resolve, reject) =>
      add({ kind: 'read', isRetried: false, query: { sql, values }, resolve, reject }),
    );

  /** Asks the worker for something that is not a batch, when no batch is under way. */
  async function command(request: Parameters<WorkerLink['ask']>[0]): Promise<void> {
    await flush();
    const used = link;
    if (used === undefined) throw storageError(reason ?? 'it is not open');
    let answer: Answer;
    try {
      answer = await used.ask(request);
    } catch (error) {
      workerEnded(used, messageOf(error));
      throw storageError(messageOf(error));
    }
    if (answer.failure === undefined) return;
    if (link === used) settle([], answer);
    throw storageError(answer.failure.reason);
  }

  async function flush(): Promise<void> {
    await read('SELECT 1').catch(() => undefined);
  }

  const opening = await start();
  if (opening?.kind === 'not-opened' && opening.inUse && folder !== undefined) {
    clearTimeout(retryTimer);
    throw await inUse(folder);
  }
  return {
    persistent: folder !== undefined,
    get status() {
      const writable = state === 'open' && writeFailure === undefined;
      return { ...counts, writable, reason: writable ? undefined : (writeFailure ?? reason ?? 'it is being opened') };
    },
    get identity() {
      return identity;
    },
    write: (work, done) => add({ kind: 'write', isRetried: false, work, done }),
    read,
    check: () => command({ kind: 'check' }),
    async setAside(found) {
      await command({ kind: 'set-aside', cause: messageOf(found) }).catch(() => undefined);
    },
    async renew() {
      const next = createIdentity(clock(), false);
      // Should the agent end between the two, the marker must not be that of another journal.
      if (folder !== undefined) await command({ kind: 'mark', marker: 'creating' });
      const { sql, values } = replaceIdentity(next);
      await new Promise<void>((resolve, reject) =>
        add({
          kind: 'write',
          isRetried: false,
          work: (run) => run(sql, values),
          done: (error) => (error === undefined ? resolve() : reject(error)),
        }),
      );
      if (folder !== undefined) await command({ kind: 'mark', marker: { id: next.id } });
      identity = next;
    },
    onOpen(listener) {
      listeners.push(listener);
      if (state === 'open' || state === 'read-only') listener({ writable: state === 'open', contents: 'found' });
    },
    onFresh: (work) => void fresh.push(work),
    flush,
    async probe() {
      if (hangs) throw storageError(reason ?? 'the disk does not answer');
      if (state === 'open' || state === 'read-only') await read('SELECT 1');
    },
    async close() {
      if (state === 'closed') return;
      const timer = setTimeout(() => void link?.end(), CLOSE_MS);
      await command({ kind: 'close' }).catch((error: unknown) => {
        log.debug({ error: messageOf(error) }, 'journal: closed without a checkpoint');
      });
      clearTimeout(timer);
      state = 'closed';
      clearTimeout(retryTimer);
      // Writes that came meanwhile fail, as the database is closed.
      failAll('the journal is closed');
      const ended = link;
      link = undefined;
      // A worker that hangs cannot be ended.
      await Promise.race([ended?.end(), new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref())]);
    },
  };
}

/** @throws DamagedError when it cannot be read, and the database was set aside; Error when it cannot be read now */
async function readIdentity(used: WorkerLink): Promise<JournalIdentity | undefined> {
  const memory = new ArrayBuffer(0);
  const answer = await used.ask({ kind: 'batch', sql: [], memory, length: 0, queries: [IDENTITY_QUERY] });
  const [rows = []] = answer.results;
  const failure = answer.failure ?? ('kind' in rows ? rows : undefined);
  if (failure?.kind === 'damaged') throw new DamagedError(failure.reason);
  if (failure !== undefined || 'kind' in rows) throw new Error(failure?.reason);
  try {
    return parseIdentity(rows);
  } catch (error) {
    const aside = await used.ask({ kind: 'set-aside', cause: messageOf(error) });
    throw new DamagedError(aside.failure?.reason);
  }
}

function expectAnswer({ failure }: Answer): void {
  if (failure !== undefined) throw new Error(failure.reason);
}

function isWritable(folder: string | undefined): boolean {
  try {
    if (folder !== undefined) accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @returns the error, which names the process that has the database open, where this user may see that */
async function inUse(folder: string): Promise<SupersimError> {
  const path = join(folder, DATABASE_NAME);
  const holders = await holdersOf(path).catch(() => []);
  const who = holders.length === 0 ? 'another process' : holders.map(formatHolder).join(', ');
  return new SupersimError('state-in-use', `${who} uses the state folder ${folder}: it has ${path} open`);
}
