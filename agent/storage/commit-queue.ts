import { messageOf, type SupersimError } from '../../shared/errors.js';
import type { SqlValue } from '../../shared/sqlite/native.js';
import type { Log } from '../base/log.js';
import { createSlices } from '../base/slices.js';
import { createBatchPacker, type RunStatement } from './batch.js';
import { storageError } from './sqlite.js';
import type { Answer, Query } from './worker.js';
import type { WorkerLink } from './worker-link.js';

/** Most writes and reads that wait for the disk; further ones are refused. */
const MAX_QUEUED = 16_384;
/** Most writes and reads in one batch. */
const MAX_BATCH = 4096;
/** Writes are gathered for this part of the time that the last commit took, and for at most so long. */
const GATHER_SHARE = 0.05;
const MAX_GATHER_MS = 2;

/** Called once for each write: after its COMMIT, or with the error that kept it off the disk, perhaps. */
export type WriteCallback = (error?: SupersimError) => void;

/** Puts writes into a batch; it may be called again for another batch. */
export type WriteWork = (run: RunStatement) => void;

type Item = {
  /** Whether the batch that it was in has failed before. */
  isRetried: boolean;
} & (
  | { readonly kind: 'write'; readonly work: WriteWork; readonly done: WriteCallback }
  | {
      readonly kind: 'read';
      readonly query: Query;
      readonly resolve: (rows: readonly unknown[]) => void;
      readonly reject: (error: SupersimError) => void;
    }
);

export interface QueueOptions {
  readonly log: Log;
  /** Returns why nothing of a kind can be taken in now; undefined when it can. */
  readonly refusalOf: (kind: Item['kind']) => string | undefined;
  /** Returns what is to be written before all others; undefined for nothing. */
  readonly first: () => WriteWork | undefined;
  /**
   * Called with the answer to each batch.
   *
   * @param wrote whether there were writes in it
   * @param wroteFirst whether what was to be written first was in it
   * @returns why the batch is to be tried again with the next worker; undefined when the answer counts
   */
  readonly judge: (answer: Answer, wrote: boolean, wroteFirst: boolean) => string | undefined;
  /** Returns the number of the last counted write; see `Database.nextCount`. */
  readonly lastCount: () => number;
  /** Called when a worker has ended, or hangs, before it answered a batch. */
  readonly ended: (link: WorkerLink, why: string) => void;
}

/**
 * Gathers writes and reads into batches, one after the other: what comes while a batch is under way shares the next.
 * Those that come together share one commit, which waits for the disk once.
 */
export function createCommitQueue({ log, refusalOf, first, judge, lastCount, ended }: QueueOptions) {
  const packer = createBatchPacker();
  const answers = createSlices();
  let waiting: Item[] = [];
  let link: WorkerLink | undefined;
  let isUnderWay = false;
  let gatherUntil = 0;
  let gathering = false;

  function add(item: Item): void {
    const why =
      refusalOf(item.kind) ?? (waiting.length < MAX_QUEUED ? undefined : 'too many commands wait for the disk');
    if (why !== undefined) {
      fail([item], why);
      return;
    }
    waiting.push(item);
    schedule();
  }

  function schedule(): void {
    if (isUnderWay || link === undefined) return;
    if (gathering || (waiting.length === 0 && first() === undefined)) return;
    gathering = true;
    setImmediate(gather);
  }

  /** Waits until the end of a turn of the event loop, which may have brought more. */
  function gather(): void {
    if (performance.now() < gatherUntil) {
      setImmediate(gather);
      return;
    }
    gathering = false;
    void send();
  }

  async function send(): Promise<void> {
    const used = link;
    if (used === undefined || isUnderWay) return;
    isUnderWay = true;
    const items = waiting.splice(0, MAX_BATCH);
    const before = first();
    try {
      const answer = await used.ask(pack(items, before));
      packer.reuse(answer.memory);
      gatherUntil = performance.now() + Math.min(MAX_GATHER_MS, answer.commitMs * GATHER_SHARE);
      isUnderWay = false;
      const wrote = items.some(({ kind }) => kind === 'write');
      // One that was given up meanwhile answers all that was sent to it with why it was.
      const why = link === used ? judge(answer, wrote, before !== undefined) : 'the database is opened anew';
      if (why === undefined) tell(items, answer);
      else retry(items, why);
    } catch (error) {
      isUnderWay = false;
      ended(used, messageOf(error));
      retry(items, messageOf(error));
    }
    schedule();
  }

  function pack(items: readonly Item[], before: WriteWork | undefined) {
    packer.reuse(undefined);
    const counted = lastCount();
    before?.(packer.run);
    const queries: Query[] = [];
    for (const item of items) {
      if (item.kind === 'write') item.work(packer.run);
      else queries.push(item.query);
    }
    const count = lastCount() > counted ? lastCount() : 0;
    return { kind: 'batch', ...packer.take(), queries, count } as const;
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

  /**
   * Writes and reads again with the next worker, but only once. Whether a commit that failed is on the disk is not known:
   * all writes are such that they can be repeated.
   */
  function retry(items: readonly Item[], why: string): void {
    const again: Item[] = [];
    const given: Item[] = [];
    for (const item of items) (item.isRetried || refusalOf(item.kind) !== undefined ? given : again).push(item);
    for (const item of again) item.isRetried = true;
    waiting = [...again, ...waiting];
    fail(given, why);
  }

  function fail(items: readonly Item[], why: string): void {
    const error = storageError(why);
    for (const item of items) {
      answers.add(() => (item.kind === 'write' ? notify(item.done, error) : item.reject(error)));
    }
  }

  return {
    write: (work: WriteWork, done: WriteCallback): void => add({ kind: 'write', isRetried: false, work, done }),
    /** @throws (rejects) SupersimError `busy` */
    read: (sql: string, values: readonly SqlValue[] = []): Promise<readonly unknown[]> =>
      new Promise((resolve, reject) =>
        add({ kind: 'read', isRetried: false, query: { sql, values }, resolve, reject }),
      ),
    /** Sends what waits to this worker from now on, and keeps it while there is none. */
    attach(next: WorkerLink | undefined): void {
      if (next !== undefined && next !== link) packer.reset();
      link = next;
      schedule();
    },
    /** Refuses all that waits and cannot be taken in any more. */
    refuse(): void {
      const refused: [Item, string][] = [];
      const kept: Item[] = [];
      for (const item of waiting) {
        const why = refusalOf(item.kind);
        if (why === undefined) kept.push(item);
        else refused.push([item, why]);
      }
      waiting = kept;
      for (const [item, why] of refused) fail([item], why);
    },
  };
}
