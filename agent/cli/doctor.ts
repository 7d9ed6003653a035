import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { formatError, printable } from '../../shared/cli.js';
import { isSupersimError } from '../../shared/errors.js';
import { configOptions } from '../config/flags.js';
import type { Severity } from '../doctor/finding.js';
import { controlOptions } from './control-output.js';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;
/** Exit codes by the worst finding; 1 and 2 have their usual meanings. */
const EXIT_BY_SEVERITY: Readonly<Record<Severity, number>> = { good: 0, note: 0, warning: 3, error: 4 };

const flags = z.object({
  config: z.string().min(1).optional(),
  socket: z.string().min(1).optional(),
  json: z.boolean().default(false),
  bundle: z.string().min(1).optional(),
});

/** `supersim-agent doctor`. */
export const doctorCommand: CommandModule = {
  command: 'doctor',
  describe:
    'Diagnose the agent, its configuration and this device, and explain how to fix problems. Changes nothing and sends ' +
    'nothing; run it with sudo for all checks. Exit code: 0 without problems, 3 if the worst is a warning, 4 if it is ' +
    'an error',
  builder: (yargs) =>
    yargs.options({
      ...configOptions,
      socket: controlOptions.socket,
      json: { type: 'boolean', describe: 'Print the findings as JSON, on one line' },
      bundle: {
        type: 'string',
        describe:
          'Also write FILE, a .tar.gz to attach to a bug report: findings, status, configuration and logs, with secrets ' +
          'and payloads masked',
      },
    }),
  async handler(argv) {
    try {
      process.exit(await examineAndPrint(checkInput(flags, argv, 'the arguments')));
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exit(isSupersimError(error, 'bad-input') ? EXIT_USAGE : EXIT_ERROR);
    }
  },
};

async function examineAndPrint({ json, bundle, ...where }: z.output<typeof flags>): Promise<number> {
  const [{ createContext }, { examine }, { formatReport }] = await Promise.all([
    import('../doctor/context.js'),
    import('../doctor/examine.js'),
    import('../doctor/report.js'),
  ]);
  const context = await createContext(where);
  const report = await examine(context);
  await print(json ? printable(JSON.stringify(report)) : formatReport(report, isColourWanted()));
  if (bundle !== undefined) {
    const { writeBundle } = await import('../doctor/bundle.js');
    await writeBundle(bundle, report, context);
    process.stderr.write(`written to ${printable(bundle)}: review it before you send it\n`);
  }
  return EXIT_BY_SEVERITY[report.worst];
}

/** Resolves when the text is written: the process exits then, even if a check hangs. */
const print = (text: string): Promise<void> =>
  new Promise((resolve) => process.stdout.write(`${text}\n`, () => resolve()));

/** Node handles NO_COLOR and dumb terminals. */
const isColourWanted = (): boolean => process.stdout.isTTY && process.stdout.hasColors();
