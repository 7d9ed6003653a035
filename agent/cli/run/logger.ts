import { type Logger, pino } from 'pino';
import { createLineWriter, type LineWriter } from './line-writer.js';

export type { Logger };

/** A logger and how to flush it. */
export interface ProcessLog extends Pick<LineWriter, 'flush' | 'flushSync'> {
  readonly log: Logger;
}

type LogStream = Pick<NodeJS.WriteStream & { fd: 1 | 2 }, 'fd' | 'isTTY'>;

/** Makes a logger to stdout or stderr: readable text on a terminal, otherwise JSON lines. */
export async function createLogger(level: string, { fd, isTTY }: LogStream = process.stdout): Promise<ProcessLog> {
  if (isTTY) {
    const { default: pretty } = await import('pino-pretty');
    const stream = pretty({ destination: fd, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' });
    return { log: pino({ level }, stream), flush: async () => undefined, flushSync: () => undefined };
  }
  // pino's own destination keeps waiting lines as strings, which V8 holds in memory for long.
  const writer = createLineWriter(fd, (lines) => {
    return `${JSON.stringify({ level: 'warn', time: Date.now(), lines, msg: 'log lines dropped: the reader is too slow' })}\n`;
  });
  return { log: pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, writer), ...writer };
}
