type LogMethod = (details: Readonly<Record<string, unknown>>, message: string) => void;

/** What the agent needs of a logger; pino's fits. */
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

/** Logs nowhere. */
export const silentLog: Log = {
  trace: ignore,
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  fatal: ignore,
  isLevelEnabled: () => false,
};
