import { ApiError } from '../api/api-error.js';

/** How long the API may accept no datagram at all before a broadcast stops, in milliseconds. */
export const MAX_OUTAGE_MS = 5 * 60_000;

/** Tracks for how long the API has been failing for every SIM. */
export interface OutageTracker {
  /** Records that the API accepted a datagram. */
  recordSuccess(): void;
  /**
   * Records an error that no SIM is to blame for.
   *
   * @returns whether to retry: the API worked within {@link MAX_OUTAGE_MS}, or says that it is only overloaded
   */
  shouldRetry(error: unknown): boolean;
}

/** @param onOutage called with the first error after the API worked */
export function createOutageTracker(
  onOutage: ((error: unknown) => void) | undefined,
  now: () => number = () => performance.now(),
): OutageTracker {
  const startedAt = now();
  let workedAt: number | undefined;
  let reported = false;
  return {
    recordSuccess() {
      workedAt = now();
      reported = false;
    },
    shouldRetry(error) {
      const isBusy = error instanceof ApiError && error.status === 429;
      const since = workedAt ?? (isBusy ? startedAt : undefined);
      const retry = since !== undefined && now() - since < MAX_OUTAGE_MS;
      if (retry && !reported) onOutage?.(error);
      reported = true;
      return retry;
    },
  };
}
