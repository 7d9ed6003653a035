import type { CommandModule } from 'yargs';
import type * as z from 'zod';
import { printable } from '../../shared/cli.js';
import { RELOAD_ANSWER_MS, reloadedSchema } from '../service/control/schema.js';
import { controlOptions, printAnswer } from './control-output.js';

/** `supersim-agent reload`. */
export const reloadCommand: CommandModule = {
  command: 'reload',
  describe: 'Apply the changed configuration to the running agent',
  builder: (yargs) => yargs.options(controlOptions),
  handler: (argv) =>
    printAnswer(argv, async (ask) => {
      const answer = await ask('POST', '/reload', reloadedSchema, { answerMs: RELOAD_ANSWER_MS });
      return { answer, text: formatReloaded(answer) };
    }),
};

function formatReloaded({ changed, needsRestart, modules }: z.output<typeof reloadedSchema>): string {
  const lines = [
    ['Changed', changed],
    ['Modules loaded again', modules],
    ['Needs a restart', needsRestart],
  ] as const;
  const shown = lines.filter(([, names]) => names.length > 0);
  if (shown.length === 0) return 'Nothing has changed.';
  return shown.map(([what, names]) => printable(`${what}: ${names.join(', ')}`)).join('\n');
}
