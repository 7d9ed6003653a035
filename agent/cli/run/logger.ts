import { type Logger, pino } from 'pino';
import { createLineWriter, type LineWriter } from './line-writer.js';

export type { Logger };

/** A logger and how to write out what it still holds. */
export interface ProcessLog extends Pick<LineWriter, 'flush' | 'flushSync'> {
  readonly log: Logger;
}

type LogStream = Pick<NodeJS.WriteStream & { fd: 1 | 2 }, 'fd' | 'isTTY'>;

/** Logs to stdout, or to stderr: for people when that is a terminal, else one JSON object a line. */
export async function createLogger(level: string, { fd, isTTY }: LogStream = process.stdout): Promise<ProcessLog> {
  if (isTTY) {
    const { default: pretty } = await import('pino-pretty');
    const stream = pretty({ destination: fd, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' });
    return { log: pino({ level }, stream), flush: async () => undefined, flushSync: () => undefined };
  }
  // Not pino's own destination: while its lines wait for the file system they are garbage that V8 keeps for long.
  const writer = createLineWriter(fd, (lines) => {
    return `${JSON.stringify({ level: 'warn', time: Date.now(), lines, msg: 'log lines dropped: nobody read them' })}\n`;
  });
  return { log: pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, writer), ...writer };
}
