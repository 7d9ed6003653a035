export type Source<T> = Iterator<T> | AsyncIterator<T>;

export interface TogetherOptions<T, R> {
  readonly source: Source<T>;
  /** How many at once. A result that nobody has taken keeps its place. */
  readonly most: number;
  /** Whether another may be begun with. */
  readonly mayBegin: () => boolean;
  readonly work: (item: T) => Promise<R>;
  /** When it is aborted nothing more is begun with. What fails aborts it, and so does who takes no more results. */
  readonly stop: AbortController;
}

/**
 * Does a job for each item of a source, so many at once; gives the results as they come. Nothing is under way any more
 * when it has ended.
 *
 * @throws what failed first
 */
export async function* together<T, R>(options: TogetherOptions<T, R>): AsyncGenerator<R, void, undefined> {
  const { source, most, mayBegin, work, stop } = options;
  const results: R[] = [];
  const failures: unknown[] = [];
  let underWay = 0;
  let exhausted = false;
  let reading = false;
  let wake = () => {};

  const mayGoOn = () => !stop.signal.aborted && mayBegin();
  const hasRoom = () => !exhausted && underWay + results.length < most && mayGoOn();

  function fail(error: unknown): void {
    failures.push(error);
    stop.abort(error);
  }

  async function read(): Promise<void> {
    while (hasRoom()) {
      const next = await source.next();
      exhausted = next.done === true;
      if (next.done === true || !mayGoOn()) return;
      underWay++;
      void run(next.value);
    }
  }

  async function run(item: T): Promise<void> {
    try {
      results.push(await work(item));
    } catch (error) {
      fail(error);
    }
    underWay--;
    wake();
  }

  async function readOn(): Promise<void> {
    reading = true;
    await read().catch(fail);
    reading = false;
    wake();
  }

  const onAbort = () => wake();
  stop.signal.addEventListener('abort', onAbort);
  let ended = false;
  try {
    while (!ended) {
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      for (;;) {
        if (!reading && hasRoom()) void readOn();
        const result = results.shift();
        if (result === undefined) break;
        yield result;
      }
      ended = underWay === 0 && !hasRoom();
      if (!ended) await changed;
    }
  } finally {
    if (!ended) stop.abort(new Error('nobody takes the results'));
    while (underWay > 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    stop.signal.removeEventListener('abort', onAbort);
  }
  if (failures.length > 0) throw failures[0];
}
