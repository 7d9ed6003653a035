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
/** By the worst finding; 1 and 2 are what they are everywhere. */
const EXIT: Readonly<Record<Severity, number>> = { good: 0, note: 0, warning: 3, error: 4 };

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
    'Look for what is wrong with the agent, its configuration and this device, and say what to do. It changes nothing ' +
    'and sends nothing; with sudo it sees more. Ends with exit code 0 when nothing is wrong, 3 when the worst is a ' +
    'warning, 4 when it is an error',
  builder: (yargs) =>
    yargs.options({
      ...configOptions,
      socket: controlOptions.socket,
      json: { type: 'boolean', describe: 'Print what was found as JSON, on one line' },
      bundle: {
        type: 'string',
        describe:
          'Also write FILE, a .tar.gz to attach to a report of a bug: what was found, status, configuration, logs; ' +
          'secrets and payloads are hidden',
      },
    }),
  async handler(argv) {
    try {
      process.exit(await examineAndTell(checkInput(flags, argv, 'the arguments')));
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exit(isSupersimError(error, 'bad-input') ? EXIT_USAGE : EXIT_ERROR);
    }
  },
};

async function examineAndTell({ json, bundle, ...where }: z.output<typeof flags>): Promise<number> {
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
    process.stderr.write(`written to ${printable(bundle)}; look through it before you send it\n`);
  }
  return EXIT[report.worst];
}

/** Waits until it has gone, as the process ends at once: a check that hangs must not keep it. */
const print = (text: string): Promise<void> =>
  new Promise((resolve) => process.stdout.write(`${text}\n`, () => resolve()));

/** Node knows of NO_COLOR and of dumb terminals. */
const isColourWanted = (): boolean => process.stdout.isTTY && process.stdout.hasColors();
