type LogMethod = (details: Readonly<Record<string, unknown>>, message: string) => void;

/** A logger; pino's loggers fit. */
export interface Log {
  readonly trace: LogMethod;
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
  readonly fatal: LogMethod;
  isLevelEnabled(level: string): boolean;
}

const ignore = () => undefined;

/** A log that discards everything. */
export const silentLog: Log = {
  trace: ignore,
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  fatal: ignore,
  isLevelEnabled: () => false,
};

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
