import type { CommandFormat, CommandId } from '../../shared/command.js';
import type { ErrorCode } from '../../shared/errors.js';
import type { DeviceOutcome } from '../../shared/outcome.js';

/** What is logged of a command that has ended; undefined members are left out. */
export interface CommandLine {
  /** Undefined where the command has none. */
  readonly id: CommandId | undefined;
  /** Undefined when its request could not be read. */
  readonly name: string | undefined;
  readonly peer: string;
  readonly transport: string;
  readonly format: CommandFormat;
  /** From the receipt of its datagram to its result, in milliseconds. */
  readonly ms: number | undefined;
  readonly outcome: DeviceOutcome;
  readonly code?: ErrorCode;
  readonly error?: string | undefined;
}

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
  /** Logs a command that has ended as `info(line, 'command')` does, which is called where this is missing. */
  readonly command?: (line: CommandLine) => void;
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
