import type { Log } from './log.js';

const MINUTE_MS = 60_000;

/**
 * Logs what may come in floods at most once a minute for each cause, with how often it came since the last line.
 *
 * @param now the monotonic clock in milliseconds
 */
export function createMinuteLog(log: Log, now: () => number = () => performance.now()) {
  const causes = new Map<string, { times: number; loggedAt: number }>();
  return (cause: string, details: Record<string, unknown>, message: string): void => {
    const known = causes.get(cause);
    const times = (known?.times ?? 0) + 1;
    if (known !== undefined && now() - known.loggedAt < MINUTE_MS) {
      known.times = times;
      return;
    }
    causes.set(cause, { times: 0, loggedAt: now() });
    log.warn({ cause, times, ...details }, message);
  };
}
