import { ApiError } from '../api/api-error.js';

/** How long the API may take no datagram at all before a broadcast stops, in milliseconds. */
export const MAX_OUTAGE_MS = 5 * 60_000;

/** Trouble with the API that no SIM is to blame for. */
export interface Outage {
  /** The API has taken a datagram. */
  over(): void;
  /** @returns whether it is worth trying again: it worked of late, or says that it only has too much to do */
  goOn(error: unknown): boolean;
}

/** @param tell told of the first trouble after the API worked */
export function createOutage(
  tell: ((error: unknown) => void) | undefined,
  now: () => number = () => performance.now(),
): Outage {
  const startedAt = now();
  let workedAt: number | undefined;
  let told = false;
  return {
    over() {
      workedAt = now();
      told = false;
    },
    goOn(error) {
      const isBusy = error instanceof ApiError && error.status === 429;
      const since = workedAt ?? (isBusy ? startedAt : undefined);
      const again = since !== undefined && now() - since < MAX_OUTAGE_MS;
      if (again && !told) tell?.(error);
      told = true;
      return again;
    },
  };
}
