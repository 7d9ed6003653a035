import { type Logger, pino } from 'pino';
import type { CommandLine } from '../../base/log.js';
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
  const log = pino({ level, base: null, formatters: { level: (label) => ({ level: label }) } }, writer);
  const command = (line: CommandLine) => {
    if (log.isLevelEnabled('info')) writer.write(formatCommandLine(line, Date.now()));
  };
  return { log: Object.assign(log, { command }), ...writer };
}

/**
 * Writes the line of a command as pino does, in a third of its time: at a high rate most of the lines are of commands.
 *
 * @param time Unix milliseconds
 */
export function formatCommandLine(line: CommandLine, time: number): string {
  const { id, name, peer, transport, format, ms, outcome, code, error } = line;
  return `{"level":"info","time":${time}${idMember(id)}${member('name', name)}${member('peer', peer)}${member('transport', transport)},"format":"${format}"${ms === undefined ? '' : `,"ms":${ms}`},"outcome":"${outcome}"${code === undefined ? '' : `,"code":"${code}"`}${member('error', error)},"msg":"command"}\n`;
}

const idMember = (id: CommandLine['id']): string =>
  typeof id === 'string' ? member('id', id) : id === undefined ? '' : `,"id":${id}`;

const member = (key: string, value: string | undefined): string =>
  value === undefined ? '' : `,"${key}":${NEEDS_NO_ESCAPE.test(value) ? `"${value}"` : JSON.stringify(value)}`;

const NEEDS_NO_ESCAPE = /^[\w .:#/-]{0,40}$/;
