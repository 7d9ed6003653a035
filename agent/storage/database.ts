import { constants } from 'node:fs';
import { access, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { nativePath } from '../../shared/sqlite/native.js';
import { type FileHolder, formatHolder, holdersOf } from '../base/file-holders.js';
import { createImpatience } from '../base/impatience.js';
import { createRateLimitedLog } from '../base/log.js';
import { createCommitQueue, type WriteWork } from './commit-queue.js';
import { DATABASE_NAME } from './folder.js';
import { createIdentity, type DatabaseIdentity, establishIdentity, identify } from './identity.js';
import { REWRITES } from './schema.js';
import { DamagedError, storageError } from './sqlite.js';
import type { Database, DatabaseOptions, Opened } from './types.js';
import type { Answer, Failure, Opening, Request, WorkerSetup } from './worker.js';
import { startWorkerLink, type WorkerLink } from './worker-link.js';

export type { WriteCallback } from './commit-queue.js';
export type { Database, DatabaseOptions, DatabaseStatus, Opened } from './types.js';

/** Delay after a failed open before the next attempt. */
const RETRY_MS = 5000;
/** How long the disk may take for one commit; a slow SD card takes a second. */
const HANG_MS = 30_000;
/** How often it is looked whether its files are there still, while nothing is written. */
const WATCH_MS = 1000;
/** How long it may take until the status says so. */
const SILENT_MS = 5000;
/** How long a start waits for the disk. */
const START_MS = 2000;
/** How often a worker is replaced at once within the delay above; then that is waited for. */
const MAX_REPLACED = 10;
/** How long the end of a worker may take. */
const END_MS = 1000;
/** How long a stop waits for the last commit. */
const CLOSE_MS = 5000;

/** Why it is not open while nothing is known to be wrong. */
const BEING_OPENED = 'it is being opened';

/**
 * Opens the database of a state folder. A damaged database is set aside. In a folder that cannot be written it can only
 * be read; one that cannot be opened yet (a full disk) refuses until an attempt succeeds. Where the disk does not answer
 * for a while it is opened later: what needs it waits, and another process that has the folder makes it refuse.
 *
 * @throws (rejects) SupersimError `state-in-use` when another process has the folder; Error where SQLite is not installed
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const {
    folder,
    clock,
    log,
    hangMs = HANG_MS,
    silentMs = SILENT_MS,
    startMs = START_MS,
    retryMs = RETRY_MS,
  } = options;
  let setup: WorkerSetup = { folder, native: nativePath(), writeBack: false };
  const queue = createCommitQueue({ log, refusalOf, first, judge, lastCount: () => count, ended: workerEnded });
  const listeners: ((opened: Opened) => void)[] = [];
  const fresh: WriteWork[] = [];
  const counts = { damaged: 0, lost: 0, rewritten: 0, restarted: 0 };
  /** The worker, while it has the database open. */
  let link: WorkerLink | undefined;
  /** All that have not ended. */
  const workers = new Set<WorkerLink>();
  let state: 'starting' | 'late' | 'open' | 'read-only' | 'failed' | 'closed' = 'starting';
  /** Why it is not open, or can only be read. */
  let reason = BEING_OPENED;
  /** Why the last write failed, while the database is open: a full disk. */
  let writeFailure: string | undefined;
  let identity: DatabaseIdentity | undefined;
  /** Whether this process has had it open, so that a database which is created now has lost something. */
  let wasOpen = false;
  /** Whether the database is fresh and not yet restored from memory. */
  let restoring = false;
  let loss: string | undefined;
  /** Whether a worker has not ended yet: no other may write beside it. */
  let isEnding = false;
  /** Whether it is in a call to the disk that does not end. */
  let hangs = false;
  const impatience = createImpatience(() => {
    const why = silence();
    return why === undefined ? undefined : storageError(why);
  });
  const minuteLog = createRateLimitedLog(log);
  let goOn: (nothing: undefined) => void = () => undefined;
  /** The last number of the count of writes, and what the file had when the database was first opened. */
  let count = 0;
  let countedBefore = 0;
  /** The same, where it is certain that no higher one was committed. */
  let lastConfirmed: number | undefined;
  /** When the worker was replaced lately. */
  let replaced: number[] = [];
  let retryTimer: NodeJS.Timeout | undefined;

  /** @param isAgain whether it was just done, and a damaged database was set aside */
  async function start(isAgain = false): Promise<Opening | undefined> {
    state = 'starting';
    const started = startWorkerLink(setup, { hangMs, silentMs, onSilent: () => silent(started) });
    workers.add(started);
    void started.ended.then(() => workers.delete(started));
    const answered = unlessAnswered(started, startMs, late);
    try {
      const opening = await unlessHeld(await started.opening, wasOpen ? undefined : folder);
      if (opening.kind === 'opened') await opened(started, opening);
      else {
        answered();
        await started.end();
        failed(opening.inUse && folder !== undefined ? await describeUse(folder) : opening.reason);
      }
      return opening;
    } catch (error) {
      if (error instanceof DamagedError) {
        counts.damaged++;
        loss = error.message;
        await started.end();
        if (!isAgain) return start(true);
      }
      void end(started).then(retryLater);
      failed(messageOf(error));
      return undefined;
    } finally {
      answered();
    }
  }

  /** The start goes on: what needs the journal waits for it. */
  function late(): void {
    if (state !== 'starting') return;
    state = 'late';
    if (reason === BEING_OPENED) {
      reason = 'the disk has not answered yet';
      log.warn({ folder }, 'journal: the disk has not answered yet; commands that need it wait');
    }
    impatience.refuse();
    goOn(undefined);
  }

  function silent(used: WorkerLink): void {
    if (link !== used) return;
    minuteLog('silent', { folder, reason: silence() }, 'journal: the disk does not answer; commands that need it wait');
    impatience.refuse();
  }

  /** Says for how long the disk has not answered, where that is too long. */
  function silence(): string | undefined {
    if (state === 'late') return reason;
    const since = link?.silentSince;
    if (since === undefined) return undefined;
    return `the disk has not answered for ${Math.floor((performance.now() - since) / 1000)} s`;
  }

  async function opened(started: WorkerLink, opening: Opening & { readonly kind: 'opened' }): Promise<void> {
    const { writable, created, damage } = opening;
    if (damage !== undefined) {
      counts.damaged++;
      log.error({ cause: damage.cause, setAside: damage.path }, 'journal: damaged; set aside and started a fresh one');
    }
    const established = await establishIdentity(started, opening, clock(), loss);
    if (state === 'closed') {
      void started.end();
      return;
    }
    identity = established.identity;
    if (established.loss !== undefined) reportLoss(established.loss);
    const contents = !wasOpen ? 'found' : created ? 'lost' : 'kept';
    link = started;
    writeFailure = undefined;
    if (writable) {
      state = 'open';
      if (!wasOpen && !created && established.loss === undefined) {
        countedBefore = opening.counted ?? 0;
        lastConfirmed = opening.isCountCurrent ? opening.counted : undefined;
      }
      wasOpen = true;
      restoring ||= contents === 'lost';
      setup = { ...setup, writeBack: false };
    } else {
      state = 'read-only';
      reason = opening.reason ?? 'it can only be read';
      log.error({ folder, reason }, 'journal: cannot be written; commands that need it are refused');
      retryLater();
    }
    queue.refuse();
    for (const listener of listeners) listener({ writable, contents });
    queue.attach(started);
  }

  function reportLoss(cause: string): void {
    counts.lost++;
    loss = undefined;
    log.error(
      { cause, folder },
      'journal: lost; a command of which it may have known is answered as interrupted for a while, and does not run',
    );
  }

  function failed(why: string): void {
    if (reason !== why && state !== 'closed') {
      log.error({ folder, reason: why }, 'journal: cannot be opened; commands that need it are refused');
    }
    reason = why;
    refuseUntilOpened();
    retryLater();
  }

  function refuseUntilOpened(): void {
    if (state === 'closed') return;
    state = 'failed';
    queue.refuse();
  }

  function retryLater(): void {
    if (state === 'closed') return;
    retryTimer ??= setTimeout(() => {
      retryTimer = undefined;
      if (state === 'open') tryWrite();
      else if (state === 'failed' && !isEnding) void start();
      else if (state === 'read-only') void replaceWhereWritable();
    }, retryMs);
  }

  async function replaceWhereWritable(): Promise<void> {
    const is = await isWritable(folder);
    if (state !== 'read-only') return;
    if (is) replaceWorker();
    else retryLater();
  }

  /** Ends a worker: one in a call to the disk ends when that does. */
  async function end(used: WorkerLink): Promise<void> {
    isEnding = true;
    const timer = setTimeout(() => {
      hangs = true;
      refuseUntilOpened();
    }, END_MS);
    await used.end();
    clearTimeout(timer);
    hangs = false;
    isEnding = false;
  }

  /** Ends the worker, and starts another; not more often than once in a while. */
  function replaceWorker(): void {
    const used = link;
    if (state === 'closed' || used === undefined) return;
    link = undefined;
    queue.attach(undefined);
    state = 'starting';
    void end(used).then(() => {
      // Replacing it again and again would help no more than it has just done.
      const now = performance.now();
      replaced = [...replaced.filter((at) => at > now - retryMs), now];
      if (state === 'closed') return;
      if (replaced.length <= MAX_REPLACED) void start();
      else {
        refuseUntilOpened();
        retryLater();
      }
    });
  }

  function workerEnded(used: WorkerLink, why: string): void {
    if (state === 'closed' || link !== used) return;
    counts.restarted++;
    log.error({ error: why }, 'journal: the storage worker does not answer; it is replaced');
    reason = why;
    replaceWorker();
  }

  function refusalOf(kind: 'write' | 'read'): string | undefined {
    if (state === 'closed') return 'the journal is closed';
    return state === 'failed' || (state === 'read-only' && kind === 'write') ? reason : undefined;
  }

  /** Restores what is in memory before anything else is written into a fresh database. */
  function first(): WriteWork | undefined {
    if (!restoring || state !== 'open') return undefined;
    return (run) => {
      for (const work of fresh) work(run);
    };
  }

  /** Judges what a worker has answered. @returns why it is replaced by another; undefined when it goes on */
  function judge(answer: Answer, wrote: boolean, wroteFirst: boolean): string | undefined {
    if (wroteFirst && answer.failure === undefined) restoring = false;
    judgeWrites(answer.failure, wrote);
    const fatal = fatalFailure(answer);
    if (fatal === undefined) return undefined;
    if (fatal.kind === 'rewritten') {
      counts.rewritten++;
      log.error({ cause: fatal.reason }, 'journal: a file of it was deleted; nothing is lost');
    } else if (fatal.kind === 'io') {
      log.error({ error: fatal.reason }, 'journal: the disk fails; it is opened anew');
      // What a failed sync has left in the memory of the system need not ever reach the disk.
      setup = { ...setup, writeBack: true };
    } else {
      if (fatal.kind === 'damaged') counts.damaged++;
      loss = fatal.reason;
    }
    reason = fatal.reason;
    replaceWorker();
    return fatal.reason;
  }

  /** Notes that writes fail although the database is open, and tries until one succeeds. */
  function judgeWrites(failure: Failure | undefined, wrote: boolean): void {
    if (failure === undefined) {
      if (wrote) writeFailure = undefined;
    } else if (failure.kind === 'write') {
      if (writeFailure === undefined) {
        const details = { folder, reason: failure.reason };
        log.error(details, 'journal: cannot be written; commands that need it are refused');
      }
      writeFailure = failure.reason;
      retryLater();
    }
  }

  /** Writes what is there already, about as much as a command, to learn whether the disk has room again. */
  function tryWrite(): void {
    if (writeFailure === undefined) return;
    queue.write(
      (run) => {
        for (const sql of REWRITES) run(sql, []);
      },
      () => undefined,
    );
  }

  /** Asks the worker for something that is not a batch, after all that waits. @throws (rejects) SupersimError `busy` */
  async function command(request: Request): Promise<void> {
    await flush();
    const used = link;
    if (used === undefined) throw storageError(reason);
    const answer = await used.ask(request).catch((error: unknown) => {
      workerEnded(used, messageOf(error));
      throw storageError(messageOf(error));
    });
    if (answer.failure === undefined) return;
    if (link === used) judge(answer, false, false);
    throw storageError(answer.failure.reason);
  }

  function abandon(): void {
    if (state === 'closed') return;
    reason = 'the agent stops, and the disk does not answer';
    state = 'failed';
    queue.attach(undefined);
    queue.refuse();
    void link?.end();
    link = undefined;
  }

  async function flush(): Promise<void> {
    await queue.read('SELECT 1').catch(() => undefined);
  }

  const watch = setInterval(() => void (state === 'open' && flush()), WATCH_MS).unref();
  const opening = await Promise.race([
    start(),
    new Promise<undefined>((resolve) => {
      goOn = resolve;
    }),
  ]);
  if (opening?.kind === 'not-opened' && opening.inUse && folder !== undefined) {
    state = 'closed';
    clearInterval(watch);
    clearTimeout(retryTimer);
    throw new SupersimError('state-in-use', reason);
  }
  return {
    persistent: folder !== undefined,
    get status() {
      const why = silence() ?? (state === 'open' ? writeFailure : reason);
      return { ...counts, writable: why === undefined, reason: why };
    },
    get identity() {
      return identity;
    },
    write: queue.write,
    read: queue.read,
    check: () => command({ kind: 'check' }),
    setAside: (found) => command({ kind: 'set-aside', cause: messageOf(found) }).catch(() => undefined),
    nextCount: () => ++count,
    get lastCount() {
      return count;
    },
    get lastConfirmed() {
      return lastConfirmed;
    },
    async checkCount(found) {
      const cause = `${DATABASE_NAME} was set back: ${countedBefore} writes were counted, and it has ${found}`;
      const isSetBack = found < countedBefore;
      count = Math.max(count, found, countedBefore);
      if (!isSetBack) return;
      countedBefore = 0;
      lastConfirmed = undefined;
      const next = createIdentity(clock(), true);
      await command(identify(next));
      identity = next;
      reportLoss(cause);
    },
    async renew() {
      const next = { ...createIdentity(clock(), false), lost: identity?.lost ?? null };
      // Should the agent end between the two, the marker must not be that of another journal.
      await command({ kind: 'mark', marker: 'creating' });
      await command(identify(next));
      identity = next;
    },
    onOpen(listener) {
      listeners.push(listener);
      if (state === 'open' || state === 'read-only') listener({ writable: state === 'open', contents: 'found' });
    },
    onFresh: (work) => void fresh.push(work),
    whileAnswering: impatience.attempt,
    flush,
    async probe() {
      if (hangs) throw storageError(reason);
      if (state === 'open' || state === 'read-only') await queue.read('SELECT 1');
    },
    abandon,
    async close() {
      if (state === 'closed') return workers.size === 0;
      clearInterval(watch);
      if (state === 'late') abandon();
      const timer = setTimeout(abandon, CLOSE_MS);
      await command({ kind: 'close' }).catch((error: unknown) => {
        log.debug({ error: messageOf(error) }, 'journal: closed without a checkpoint');
      });
      clearTimeout(timer);
      clearTimeout(retryTimer);
      state = 'closed';
      // Writes that came meanwhile fail, as the database is closed.
      queue.refuse();
      queue.attach(undefined);
      const ending = Promise.all([...workers].map((worker) => worker.end()));
      await Promise.race([ending, new Promise((resolve) => setTimeout(resolve, END_MS).unref())]);
      return workers.size === 0;
    },
  };
}

/** Calls `then` when a worker's thread has run for so long. @returns a function that prevents it */
function unlessAnswered({ online }: WorkerLink, ms: number, then: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  let isAnswered = false;
  void online.then(() => {
    if (!isAnswered) timer = setTimeout(then, ms);
  });
  return () => {
    isAnswered = true;
    clearTimeout(timer);
  };
}

const fatalFailure = ({ failure, results }: Answer): Failure | undefined =>
  [failure, ...results.map((result) => ('kind' in result ? result : undefined))].find(
    (one) => one !== undefined && one.kind !== 'write',
  );

const isWritable = (folder: string | undefined): Promise<boolean> =>
  access(folder ?? '/', constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );

/**
 * Refuses a database that was just created in the place of one that was deleted, and that another process has open still:
 * an agent that will write it again.
 */
async function unlessHeld(opening: Opening, folder: string | undefined): Promise<Opening> {
  if (folder === undefined || opening.kind !== 'opened' || !opening.created) return opening;
  const holders = await holdersOfDatabase(folder);
  return holders.length === 0 ? opening : { kind: 'not-opened', reason: 'it is in use', inUse: true };
}

/** Names the process that has the database open, where this user may see that. */
async function describeUse(folder: string): Promise<string> {
  const holders = await holdersOfDatabase(folder);
  const who = holders.length === 0 ? 'another process' : holders.map(formatHolder).join(', ');
  return `${who} uses the state folder ${folder}: it has ${join(folder, DATABASE_NAME)} open`;
}

/** Finds the other processes that have the database open, also where it was deleted (proc(5), "/proc/pid/fd/"). */
async function holdersOfDatabase(folder: string): Promise<FileHolder[]> {
  const path = join(await realpath(folder).catch(() => folder), DATABASE_NAME);
  return holdersOf([path, `${path} (deleted)`]).catch(() => []);
}
