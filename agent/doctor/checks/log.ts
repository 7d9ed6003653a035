import * as z from 'zod';
import { defineCheck } from '../check.js';
import { good, type Judgement, note, warning } from '../finding.js';
import { fromJson, type LogLine, UNIT, type UnitLog } from '../unit.js';

/** How many of the last errors are told. */
const SHOWN = 3;
const MAX_CHARACTERS = 240;
/** Of syslog: `err`. */
const ERROR_PRIORITY = 3;

/** A line of the agent's own. */
const lineSchema = z.looseObject({
  level: z.string(),
  msg: z.string(),
  error: z.string().optional(),
  handler: z.string().optional(),
  remedy: z.string().optional(),
});

/** The last errors in the service's log. */
export const log = defineCheck<UnitLog>({
  name: 'log',
  look: (context) => context.unitLog(),
  judge: judgeLog,
});

export function judgeLog({ lines, failed }: UnitLog): Judgement[] {
  const looked = `journalctl -u ${UNIT}, the last day`;
  const errors = lines.flatMap((line) => errorOf(line) ?? []);
  if (errors.length > 0) {
    const told = errors.slice(-SHOWN).map(({ text }) => text);
    const remedy = errors.at(-1)?.remedy ?? 'Read what stands around them: `journalctl -u supersim-agent`.';
    return [warning(looked, [`${errors.length} errors, the last:`, ...told].join('\n'), remedy)];
  }
  if (lines.length > 0) return [good(looked, `${lines.length} lines, no error`)];
  if (failed !== undefined) return [note(looked, failed, 'Run it with sudo, where there is a journal.')];
  return [note(looked, 'no line that this user can see', 'Run it with sudo, where there is a journal.')];
}

function errorOf({ at, priority, text }: LogLine): { text: string; remedy: string | undefined } | undefined {
  const line = lineSchema.safeParse(fromJson(text));
  const isError = line.success ? ['error', 'fatal'].includes(line.data.level) : priority <= ERROR_PRIORITY;
  if (!isError) return undefined;
  const { msg, handler, error, remedy } = line.success ? line.data : { msg: text };
  const whole = [new Date(at).toISOString(), msg, handler, error].filter((part) => part !== undefined).join(' ');
  return { text: whole.slice(0, MAX_CHARACTERS), remedy };
}
