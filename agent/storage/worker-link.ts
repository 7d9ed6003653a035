import { Worker } from 'node:worker_threads';
import source from 'storage-worker-source';
import type { Answer, EndRequest, Opening, Request, WorkerSetup } from './worker.js';

/** One worker thread that has the database open. */
export interface WorkerLink {
  /** How it opened the database. @throws (rejects) Error when it ended or hangs */
  readonly opening: Promise<Opening>;
  /**
   * Asks it one thing; answers come in the order of the requests.
   *
   * @throws (rejects) Error when it ended or hangs: whether the request was performed is unknown
   */
  ask(request: Request): Promise<Answer>;
  /**
   * Has it end, so that its files are closed. Resolves when it has: not while a call to the disk hangs. A thread that is
   * terminated in libsql would end the whole process as soon as that returns.
   */
  end(): Promise<void>;
}

/** After the process itself was stopped (SIGSTOP), an answer may be there that was not read yet. */
const AGAIN_MS = 100;

interface Pending<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

/**
 * Starts the worker of a database.
 *
 * @param hangMs how long it may take for one request; then it hangs, and is to be ended
 */
export function startWorkerLink(setup: WorkerSetup, hangMs: number): WorkerLink {
  const worker = new Worker(source, { eval: true, workerData: setup, name: 'journal', execArgv: [] });
  const pending: Pending<Answer>[] = [];
  let openingPending: Pending<Opening> | undefined;
  let failed: Error | undefined;
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', (code) => {
      fail(new Error(`the storage worker ended with code ${code}`));
      resolve();
    });
  });

  function awaitAnswer<T>(keep: (pending: Pending<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (failed !== undefined) {
        reject(failed);
        return;
      }
      const hang = () => fail(new Error(`the disk has not answered for ${hangMs / 1000} s`));
      const waitOnce = () => {
        one.timer = setTimeout(hang, Math.min(AGAIN_MS, hangMs));
      };
      const one = { resolve, reject, timer: setTimeout(waitOnce, hangMs) };
      keep(one);
    });
  }

  function fail(error: Error): void {
    failed ??= error;
    for (const one of [...pending.splice(0), openingPending]) {
      clearTimeout(one?.timer);
      one?.reject(failed);
    }
    openingPending = undefined;
  }

  worker.on('error', (error) => fail(new Error(`the storage worker failed: ${error.message}`, { cause: error })));
  worker.on('message', (message: Opening | Answer) => {
    if (message.kind === 'answer') {
      const first = pending.shift();
      clearTimeout(first?.timer);
      first?.resolve(message);
    } else {
      clearTimeout(openingPending?.timer);
      openingPending?.resolve(message);
      openingPending = undefined;
    }
  });

  const opening = awaitAnswer<Opening>((one) => {
    openingPending = one;
  });
  // Whoever asks for it gets the error; a link that is ended at once has nobody who does.
  opening.catch(() => undefined);
  return {
    opening,
    ask: (request) =>
      awaitAnswer<Answer>((one) => {
        pending.push(one);
        worker.postMessage(request, request.kind === 'batch' ? [request.memory] : []);
      }),
    async end() {
      fail(new Error('the storage worker was ended'));
      worker.postMessage({ kind: 'end' } satisfies EndRequest);
      await exited;
    },
  };
}
