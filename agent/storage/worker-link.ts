import { Worker } from 'node:worker_threads';
import source from 'storage-worker-source';
import type { Answer, EndRequest, Opening, Request, WorkerSetup } from './worker.js';

/** One worker thread that has the database open. */
export interface WorkerLink {
  /** Resolves when its thread runs, which takes long on a busy machine: what takes long then is the disk. */
  readonly online: Promise<void>;
  /** How it opened the database. @throws (rejects) Error when it ended or hangs */
  readonly opening: Promise<Opening>;
  /**
   * Asks it one thing; answers come in the order of the requests.
   *
   * @throws (rejects) Error when it ended or hangs: whether the request was performed is unknown
   */
  ask(request: Request): Promise<Answer>;
  /** Since when it has owed an answer for too long, in milliseconds of performance.now(); undefined while it does not. */
  readonly silentSince: number | undefined;
  /** Resolves when it has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /**
   * Has it end, so that its files are closed. Resolves when it has: not while a call to the disk hangs. A thread that is
   * terminated in libsql would end the whole process as soon as that returns.
   */
  end(): Promise<void>;
}

export interface LinkLimits {
  /** How long it may take for one request; then it hangs, and is to be ended. */
  readonly hangMs: number;
  /** After so long `onSilent` is called. */
  readonly silentMs: number;
  readonly onSilent: () => void;
}

/** After the process itself was stopped (SIGSTOP), an answer may be there that was not read yet. */
const AGAIN_MS = 100;

interface Pending<T> {
  readonly kind: Request['kind'] | 'open';
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
  /** Stops waiting for the answer. */
  readonly cancel: () => void;
}

/** Starts the worker of a database. */
export function startWorkerLink(setup: WorkerSetup, { hangMs, silentMs, onSilent }: LinkLimits): WorkerLink {
  const worker = new Worker(source, { eval: true, workerData: setup, name: 'journal', execArgv: [] });
  const online = new Promise<void>((resolve) => worker.once('online', resolve));
  const pending: Pending<Answer>[] = [];
  let openingPending: Pending<Opening> | undefined;
  let failed: Error | undefined;
  let silentSince: number | undefined;
  let cancelWatch: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', (code) => {
      fail(new Error(`the storage worker ended with code ${code}`));
      resolve();
    });
  });

  function awaitAnswer<T>(kind: Pending<T>['kind'], keep: (pending: Pending<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (failed !== undefined) {
        reject(failed);
        return;
      }
      const hang = () => fail(new Error(`the disk has not answered for ${hangMs / 1000} s`));
      keep({ kind, resolve, reject, cancel: unlessAnswered(hangMs, hang) });
    });
  }

  /** Watches for how long the worker is at the request that is the first now. */
  function watch(): void {
    cancelWatch();
    silentSince = undefined;
    const [first] = pending;
    // To check the whole file takes long on a sound disk too.
    if (first === undefined || first.kind === 'check') return;
    const since = performance.now();
    cancelWatch = unlessAnswered(silentMs, () => {
      silentSince = since;
      onSilent();
    });
  }

  function fail(error: Error): void {
    failed ??= error;
    for (const one of [...pending.splice(0), openingPending]) {
      one?.cancel();
      one?.reject(failed);
    }
    openingPending = undefined;
    watch();
  }

  worker.on('error', (error) => fail(new Error(`the storage worker failed: ${error.message}`, { cause: error })));
  worker.on('message', (message: Opening | Answer) => {
    if (message.kind === 'answer') {
      const first = pending.shift();
      first?.cancel();
      watch();
      first?.resolve(message);
    } else {
      openingPending?.cancel();
      openingPending?.resolve(message);
      openingPending = undefined;
    }
  });

  const opening = awaitAnswer<Opening>('open', (one) => {
    openingPending = one;
  });
  // Whoever asks for it gets the error; a link that is ended at once has nobody who does.
  opening.catch(() => undefined);
  return {
    online,
    opening,
    ask: (request) =>
      awaitAnswer<Answer>(request.kind, (one) => {
        if (pending.push(one) === 1) watch();
        worker.postMessage(request, request.kind === 'batch' ? [request.memory] : []);
      }),
    ended,
    get silentSince() {
      return silentSince;
    },
    async end() {
      fail(new Error('the storage worker was ended'));
      worker.postMessage({ kind: 'end' } satisfies EndRequest);
      await ended;
    },
  };
}

/** Calls `then` after so long. @returns a function that prevents it */
function unlessAnswered(ms: number, then: () => void): () => void {
  let timer = setTimeout(() => {
    timer = setTimeout(then, Math.min(AGAIN_MS, ms));
  }, ms);
  return () => clearTimeout(timer);
}
