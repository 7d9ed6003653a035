import * as z from 'zod';
import { defineCheck } from '../../check.js';
import { good, type Judgement, note, warning } from '../../finding.js';
import { fromJson, type LogLine, UNIT, type UnitLog } from '../../unit.js';

/** How many of the last errors are told. */
const SHOWN = 3;
const MAX_CHARACTERS = 240;
/** Of syslog: `err`. */
const ERROR_PRIORITY = 3;

/** What the agent prints when it does not get as far as its log, what Node prints, and how systemd says that it ended. */
const PLAIN_ERROR = /^(?:error(?: [a-z-]+)?: |\w*Error: |.*: Main process exited, code=(?:killed|dumped))/;

interface Seen extends UnitLog {
  /** When the agent that runs was started, in Unix milliseconds. */
  readonly startedAt: number | undefined;
}

/** A line of the agent's own. */
const lineSchema = z.looseObject({
  level: z.string(),
  msg: z.string(),
  error: z.string().optional(),
  handler: z.string().optional(),
  remedy: z.string().optional(),
});

/** The last errors in the service's log. */
export const log = defineCheck<Seen>({
  name: 'log',
  async look(context) {
    const status = await context.status();
    const startedAt = status instanceof Error ? undefined : Date.now() - status.uptime * 1000;
    return { ...(await context.unitLog()), startedAt };
  },
  judge: judgeLog,
});

export function judgeLog({ lines, failed, startedAt }: Seen): Judgement[] {
  const looked = `journalctl -u ${UNIT}, the last day`;
  const errors = lines.flatMap((line) => errorOf(line) ?? []);
  if (errors.length > 0) {
    const told = errors.slice(-SHOWN).map(({ text }) => text);
    const remedy = errors.at(-1)?.remedy ?? 'Read what stands around them: `journalctl -u supersim-agent`.';
    const found = (when: string) => [`${errors.length} errors${when}, the last:`, ...told].join('\n');
    const isOver = startedAt !== undefined && errors.every(({ at }) => at < startedAt);
    return [
      isOver ? note(looked, found(' before the agent that runs was started')) : warning(looked, found(''), remedy),
    ];
  }
  if (lines.length > 0) return [good(looked, `${lines.length} lines, no error`)];
  if (failed !== undefined) return [note(looked, failed, 'Run it with sudo, where there is a journal.')];
  return [
    note(
      looked,
      'no line that this user can see',
      'Run it with sudo; where there is no systemd, read the agent’s output.',
    ),
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
