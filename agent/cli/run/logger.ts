import { type Logger, pino } from 'pino';
import { createLineWriter, type LineWriter } from './line-writer.js';

export type { Logger };

/** A logger, and the functions that write out what it has buffered. */
export interface ProcessLog extends Pick<LineWriter, 'flush' | 'flushSync'> {
  readonly log: Logger;
}

type LogStream = Pick<NodeJS.WriteStream & { fd: 1 | 2 }, 'fd' | 'isTTY'>;

/** Creates a logger to stdout or stderr: formatted for people on a terminal, otherwise one JSON object a line. */
export async function createLogger(level: string, { fd, isTTY }: LogStream = process.stdout): Promise<ProcessLog> {
  if (isTTY) {
    const { default: pretty } = await import('pino-pretty');
    const stream = pretty({ destination: fd, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' });
    return { log: pino({ level }, stream), flush: async () => undefined, flushSync: () => undefined };
  }
  // Not pino's own destination: the strings that it queues live long enough to fill V8's old generation.
  const writer = createLineWriter(fd, (lines) => {
    return `${JSON.stringify({ level: 'warn', time: Date.now(), lines, msg: 'log lines dropped: nobody read them' })}\n`;
  });
  return { log: pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, writer), ...writer };
}
