/**
 * Runs something with a signal that is aborted after so many milliseconds, or when another is. (AbortSignal.any would
 * hold on to each for as long as the other lives.)
 */
export async function within<T>(
  ms: number,
  other: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  const onAbort = () => abort.abort(other?.reason);
  other?.addEventListener('abort', onAbort, { once: true });
  if (other?.aborted === true) onAbort();
  const timer = setTimeout(() => abort.abort(new Error(`no answer within ${ms} ms`)), ms);
  try {
    return await run(abort.signal);
  } finally {
    clearTimeout(timer);
    other?.removeEventListener('abort', onAbort);
  }
}
