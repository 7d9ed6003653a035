import type { Log } from './log.js';

const INTERVAL_MS = 60_000;

/**
 * Creates a log function for messages that may come in floods: it logs each cause at most once a minute, with the
 * number of times since the last line.
 *
 * @param now the monotonic clock in milliseconds
 */
export function createRateLimitedLog(log: Log, now: () => number = () => performance.now()) {
  const causes = new Map<string, { times: number; loggedAt: number }>();
  return (cause: string, details: Record<string, unknown>, message: string): void => {
    const known = causes.get(cause);
    const times = (known?.times ?? 0) + 1;
    if (known !== undefined && now() - known.loggedAt < INTERVAL_MS) {
      known.times = times;
      return;
    }
    causes.set(cause, { times: 0, loggedAt: now() });
    log.warn({ cause, times, ...details }, message);
  };
}
