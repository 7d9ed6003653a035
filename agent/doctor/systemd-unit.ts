import * as z from 'zod';
import { runProgram } from './run-program.js';

export const UNIT = 'supersim-agent.service';
const LOG_LINES = 400;

const PROPERTIES = [
  ...['LoadState', 'ActiveState', 'SubState', 'UnitFileState', 'FragmentPath', 'NeedDaemonReload'],
  ...['Result', 'ExecMainCode', 'ExecMainStatus', 'ExecMainStartTimestamp', 'ExecMainPID', 'MainPID', 'NRestarts'],
  ...['WatchdogUSec', 'User', 'Group', 'SupplementaryGroups', 'AmbientCapabilities', 'StatusText'],
] as const;

/** The service's state in systemd. */
export interface Unit {
  /** Properties by systemd's names; undefined where systemctl failed. */
  readonly properties?: Readonly<Partial<Record<(typeof PROPERTIES)[number], string>>>;
  readonly failed?: string;
}

export async function readUnit(): Promise<Unit> {
  const ran = await runProgram('systemctl', ['show', UNIT, `--property=${PROPERTIES.join(',')}`, '--no-pager']);
  return ran.failed === undefined ? { properties: parseProperties(ran.stdout) } : { failed: ran.failed };
}

/** Parses lines of `NAME=value`. */
export function parseProperties(text: string): Record<string, string> {
  const pairs = text.split('\n').map((line): [string, string] => {
    const [name = '', ...value] = line.split('=');
    return [name, value.join('=')];
  });
  return Object.fromEntries(pairs.filter(([name]) => name !== ''));
}

/** A line of the service's log, by the agent or by systemd. */
export interface LogLine {
  /** Unix milliseconds. */
  readonly at: number;
  /** Priority of syslog(3): 3 and below is an error. */
  readonly priority: number;
  readonly text: string;
}

export interface UnitLog {
  readonly lines: readonly LogLine[];
  readonly failed?: string;
}

/** Returns the last lines of the last 24 hours. */
export async function readUnitLog(): Promise<UnitLog> {
  const ran = await runProgram('journalctl', [
    ...[`--unit=${UNIT}`, '--since=-24h', `--lines=${LOG_LINES}`],
    ...['--output=json', '--output-fields=MESSAGE,PRIORITY', '--no-pager', '--quiet'],
  ]);
  return { lines: parseLog(ran.stdout), ...(ran.failed !== undefined && { failed: ran.failed }) };
}

/**
 * An entry of `journalctl --output=json`: a message that is not UTF-8 is an array of bytes, one that is too long null.
 */
const entrySchema = z.looseObject({
  MESSAGE: z.union([z.string(), z.array(z.number()).transform((bytes) => Buffer.from(bytes).toString())]),
  PRIORITY: z.coerce.number().default(6),
  __REALTIME_TIMESTAMP: z.coerce.number(),
});

export function parseLog(text: string): LogLine[] {
  return text.split('\n').flatMap((line) => {
    const entry = entrySchema.safeParse(fromJson(line));
    if (!entry.success) return [];
    const { MESSAGE, PRIORITY, __REALTIME_TIMESTAMP } = entry.data;
    return [{ at: Math.round(__REALTIME_TIMESTAMP / 1000), priority: PRIORITY, text: MESSAGE }];
  });
}

export function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
