export interface TimeoutOptions {
  /** Aborts the work too. */
  readonly signal?: AbortSignal | undefined;
  /** The reason of a timeout; default: an error that says how long was waited. */
  readonly reason?: ((ms: number) => Error) | undefined;
}

const noAnswer = (ms: number) => new Error(`no answer within ${ms} ms`);

/**
 * Runs work with a signal that is aborted after `ms` milliseconds, or when `options.signal` is, and settles as the work
 * does: the work must end when the signal is aborted. (AbortSignal.any would hold on to each signal for as long as the
 * other lives.)
 */
export async function withTimeout<T>(
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  { signal, reason = noAnswer }: TimeoutOptions = {},
): Promise<T> {
  const abort = new AbortController();
  const onAbort = () => abort.abort(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const timer = setTimeout(() => abort.abort(reason(ms)), ms);
  try {
    return await work(abort.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

/**
 * Settles as a promise does, but rejects after `ms` milliseconds, or when `options.signal` is aborted. The work
 * behind the promise is not stopped.
 */
export function raceTimeout<T>(ms: number, promise: Promise<T>, options?: TimeoutOptions): Promise<T> {
  return withTimeout(ms, (signal) => Promise.race([promise, rejectWhenAborted(signal)]), options);
}

const rejectWhenAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
