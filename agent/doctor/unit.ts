import * as z from 'zod';
import { runProgram } from './run-program.js';

export const UNIT = 'supersim-agent.service';
const LOG_LINES = 400;

const PROPERTIES = [
  ...['LoadState', 'ActiveState', 'SubState', 'UnitFileState', 'FragmentPath', 'NeedDaemonReload'],
  ...['Result', 'ExecMainCode', 'ExecMainStatus', 'ExecMainStartTimestamp', 'ExecMainPID', 'MainPID', 'NRestarts'],
  ...['WatchdogUSec', 'User', 'Group', 'SupplementaryGroups', 'AmbientCapabilities', 'StatusText'],
] as const;

/** The service as systemd has it. */
export interface Unit {
  /** By the names of systemd; undefined where it cannot be asked. */
  readonly properties?: Readonly<Partial<Record<(typeof PROPERTIES)[number], string>>>;
  readonly failed?: string;
}

export async function readUnit(): Promise<Unit> {
  const ran = await runProgram('systemctl', ['show', UNIT, `--property=${PROPERTIES.join(',')}`, '--no-pager']);
  return ran.failed === undefined ? { properties: parseProperties(ran.stdout) } : { failed: ran.failed };
}

/** `NAME=value`, one a line. */
export function parseProperties(text: string): Record<string, string> {
  const pairs = text.split('\n').map((line): [string, string] => {
    const [name = '', ...value] = line.split('=');
    return [name, value.join('=')];
  });
  return Object.fromEntries(pairs.filter(([name]) => name !== ''));
}

/** A line of the service's log: the agent's own, or systemd's about it. */
export interface LogLine {
  /** Unix milliseconds. */
  readonly at: number;
  /** Of syslog: 3 and less is an error. */
  readonly priority: number;
  readonly text: string;
}

export interface UnitLog {
  readonly lines: readonly LogLine[];
  readonly failed?: string;
}

/** The last lines of the last day. */
export async function readUnitLog(): Promise<UnitLog> {
  const ran = await runProgram('journalctl', [
    ...[`--unit=${UNIT}`, '--since=-24h', `--lines=${LOG_LINES}`],
    ...['--output=json', '--output-fields=MESSAGE,PRIORITY', '--no-pager', '--quiet'],
  ]);
  return { lines: parseLog(ran.stdout), ...(ran.failed !== undefined && { failed: ran.failed }) };
}

/** A message that is no UTF-8 is a list of bytes; one that is too long is null. */
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
