import type { Log } from '../../agent/base/log.js';

export interface LogLine {
  readonly level: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A log that keeps its lines, and calls those who wait for one. */
export function recordingLog() {
  const lines: LogLine[] = [];
  const watchers = new Set<() => void>();
  const at = (level: string) => (details: Readonly<Record<string, unknown>>, message: string) => {
    lines.push({ level, details, message });
    for (const watcher of watchers) watcher();
  };
  const log: Log = {
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    isLevelEnabled: () => true,
  };
  const withMessage = (message: string) => lines.filter((line) => line.message === message);
  return {
    log,
    lines,
    withMessage,
    /** Waits until `message` has been logged so many times. */
    async times(message: string, count: number, withinMs = 10_000): Promise<void> {
      if (withMessage(message).length >= count) return;
      await new Promise<void>((resolve, reject) => {
        const watcher = () => {
          if (withMessage(message).length < count) return;
          finish();
          resolve();
        };
        const finish = () => {
          watchers.delete(watcher);
          clearTimeout(timer);
        };
        const timer = setTimeout(() => {
          finish();
          reject(new Error(`"${message}" was not logged ${count} times, but: ${JSON.stringify(lines)}`));
        }, withinMs);
        watchers.add(watcher);
      });
    },
  };
}
