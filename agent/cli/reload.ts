import type { CommandModule } from 'yargs';
import type * as z from 'zod';
import { printable } from '../../shared/cli.js';
import { RELOAD_ANSWER_MS, reloadedSchema } from '../service/control/schema.js';
import { controlOptions, showFromAgent } from './control-output.js';

/** `supersim-agent reload`. */
export const reloadCommand: CommandModule = {
  command: 'reload',
  describe: 'Have the agent that runs take up its changed configuration',
  builder: (yargs) => yargs.options(controlOptions),
  handler: (argv) =>
    showFromAgent(argv, async (ask) => {
      const answer = await ask('POST', '/reload', reloadedSchema, { answerMs: RELOAD_ANSWER_MS });
      return { answer, text: formatReloaded(answer) };
    }),
};

function formatReloaded({ changed, needsRestart, modules }: z.output<typeof reloadedSchema>): string {
  const lines = [
    ['Changed', changed],
    ['Loaded anew', modules],
    ['Needs a restart', needsRestart],
  ] as const;
  const told = lines.filter(([, names]) => names.length > 0);
  if (told.length === 0) return 'Nothing has changed.';
  return told.map(([what, names]) => printable(`${what}: ${names.join(', ')}`)).join('\n');
}
