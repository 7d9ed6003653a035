import * as z from 'zod';
import { defineCheck } from '../../check.js';
import { good, type Judgement, note, warning } from '../../finding.js';
import { fromJson, type LogLine, UNIT, type UnitLog } from '../../systemd-unit.js';

/** How many of the last errors are shown. */
const MAX_SHOWN = 3;
const MAX_CHARACTERS = 240;
/** `err` of syslog(3). */
const ERROR_PRIORITY = 3;

/**
 * Errors that the agent prints before it can log, that Node prints, and that systemd logs when the process is killed.
 */
const PLAIN_ERROR = /^(?:error(?: [a-z-]+)?: |\w*Error: |.*: Main process exited, code=(?:killed|dumped))/;

interface Observation extends UnitLog {
  /** When the running agent was started, in Unix milliseconds. */
  readonly startedAt: number | undefined;
}

/** A line of the agent's log. */
const lineSchema = z.looseObject({
  level: z.string(),
  msg: z.string(),
  error: z.string().optional(),
  handler: z.string().optional(),
  remedy: z.string().optional(),
});

/** Shows the last errors in the service's log. */
export const log = defineCheck<Observation>({
  name: 'log',
  async look(context) {
    const status = await context.status();
    const startedAt = status instanceof Error ? undefined : Date.now() - status.uptime * 1000;
    return { ...(await context.unitLog()), startedAt };
  },
  judge: judgeLog,
});

export function judgeLog({ lines, failed, startedAt }: Observation): Judgement[] {
  const looked = `journalctl -u ${UNIT}, last 24 hours`;
  const errors = lines.flatMap((line) => errorOf(line) ?? []);
  if (errors.length > 0) {
    const told = errors.slice(-MAX_SHOWN).map(({ text }) => text);
    const remedy = errors.at(-1)?.remedy ?? 'Read the lines around them: `journalctl -u supersim-agent`.';
    const found = (when: string) => [`${errors.length} errors${when}; the last:`, ...told].join('\n');
    const isOver = startedAt !== undefined && errors.every(({ at }) => at < startedAt);
    return [isOver ? note(looked, found(' before the running agent was started')) : warning(looked, found(''), remedy)];
  }
  if (lines.length > 0) return [good(looked, `${lines.length} lines, no errors`)];
  if (failed !== undefined) return [note(looked, failed, 'Run it with sudo, on a system with a journal.')];
  return [
    note(looked, 'no lines that this user can see', 'Run it with sudo; without systemd, read the agent’s output.'),
  ];
}

function errorOf({
  at,
  priority,
  text,
}: LogLine): { at: number; text: string; remedy: string | undefined } | undefined {
  const line = lineSchema.safeParse(fromJson(text));
  const isError = line.success
    ? ['error', 'fatal'].includes(line.data.level)
    : priority <= ERROR_PRIORITY || PLAIN_ERROR.test(text);
  if (!isError) return undefined;
  const { msg, handler, error, remedy } = line.success ? line.data : { msg: text };
  const whole = [new Date(at).toISOString(), msg, handler, error].filter((part) => part !== undefined).join(' ');
  return { at, text: whole.slice(0, MAX_CHARACTERS), remedy };
}
