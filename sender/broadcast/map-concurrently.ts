export type ItemSource<T> = Iterator<T> | AsyncIterator<T>;

export interface MapConcurrentlyOptions<T, R> {
  readonly source: ItemSource<T>;
  /** Most items in flight; one whose result has not been taken counts. */
  readonly maxConcurrent: number;
  /** Whether another item may be started. */
  readonly mayStart: () => boolean;
  readonly mapper: (item: T) => Promise<R>;
  /** Once aborted, no item is started. A failure aborts it, and so does a consumer that stops taking results. */
  readonly stop: AbortController;
}

/**
 * Maps the items of a source, so many at once, and yields the results in the order in which they are ready. When it
 * ends, no item is in flight.
 *
 * @throws the first failure, after the results that were ready
 */
export async function* mapConcurrently<T, R>(
  options: MapConcurrentlyOptions<T, R>,
): AsyncGenerator<R, void, undefined> {
  const { source, maxConcurrent, mayStart, mapper, stop } = options;
  const results: R[] = [];
  const failures: unknown[] = [];
  let inFlight = 0;
  let exhausted = false;
  let reading = false;
  let wake = () => {};

  const mayContinue = () => !stop.signal.aborted && mayStart();
  const hasRoom = () => !exhausted && inFlight + results.length < maxConcurrent && mayContinue();

  function fail(error: unknown): void {
    failures.push(error);
    stop.abort(error);
  }

  async function readSource(): Promise<void> {
    while (hasRoom()) {
      const next = await source.next();
      exhausted = next.done === true;
      if (next.done === true || !mayContinue()) return;
      inFlight++;
      void run(next.value);
    }
  }

  async function run(item: T): Promise<void> {
    try {
      results.push(await mapper(item));
    } catch (error) {
      fail(error);
    }
    inFlight--;
    wake();
  }

  async function startReading(): Promise<void> {
    reading = true;
    await readSource().catch(fail);
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
        if (!reading && hasRoom()) void startReading();
        const result = results.shift();
        if (result === undefined) break;
        yield result;
      }
      ended = inFlight === 0 && !hasRoom();
      if (!ended) await changed;
    }
  } finally {
    if (!ended) stop.abort(new Error('the results are no longer taken'));
    while (inFlight > 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    stop.signal.removeEventListener('abort', onAbort);
  }
  if (failures.length > 0) throw failures[0];
}
