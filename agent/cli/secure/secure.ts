import { setTimeout as pause } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { formatError, printable } from '../../../shared/cli.js';
import { isSupersimError } from '../../../shared/errors.js';
import { configFromFlags, configOptions } from '../../config/flags.js';
import type { Config } from '../../config/schema.js';
import { describeEnforcement, type InterfaceStatus } from '../../packet-filter/enforcement.js';
import { controlClient } from '../../service/control/client.js';
import { defaultControlSocket, statusSchema } from '../../service/control/schema.js';
import { cellularInterfaces, interfaceNames } from '../../transport/cellular.js';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;
/** How long the running agent may take to test the rules. */
const AGENT_MS = 3000;
const POLL_MS = 200;

const flags = z.object({
  config: z.string().min(1).optional(),
  interface: z.string().optional(),
  'dry-run': z.boolean().default(false),
  undo: z.boolean().default(false),
});

/** `supersim-agent secure`. */
export const secureCommand: CommandModule = {
  command: 'secure',
  describe:
    'Let only the cellular interface reach the device ports: load nftables rules that drop datagrams by other ' +
    'interfaces and from users of this device, now and at each boot. Needs root. Run it again when listen.ports or the ' +
    'interface change',
  builder: (yargs) =>
    yargs.options({
      ...configOptions,
      interface: {
        type: 'string',
        describe: 'The cellular interface, such as wwan0 (default: the configured one, or the only one there is)',
      },
      'dry-run': { type: 'boolean', describe: 'Print what would be written and run, and change nothing' },
      undo: { type: 'boolean', describe: 'Remove the rules again' },
    }),
  async handler(argv) {
    try {
      await secure(checkInput(flags, argv, 'the arguments'));
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exitCode = isSupersimError(error, 'bad-input') ? EXIT_USAGE : EXIT_ERROR;
    }
  },
};

async function secure(given: z.output<typeof flags>): Promise<void> {
  const { config: file, interface: name, undo, 'dry-run': isDry } = given;
  const [{ formatPlan, formatUndo, planRules }, { applyRules, removeRules }] = await Promise.all([
    import('./plan.js'),
    import('./apply.js'),
  ]);
  if (undo) {
    const left = isDry ? undefined : await removeRules();
    print(left === undefined ? formatUndo() : ['The rules are removed.', ...left].join('\n'));
    if (left !== undefined && left.length > 0) process.exitCode = EXIT_ERROR;
    return;
  }
  const config = await configFromFlags({ config: file });
  const plan = planRules(name, config, { all: interfaceNames(), cellular: cellularInterfaces() });
  for (const warning of plan.warnings) process.stderr.write(`warning: ${printable(warning)}\n`);
  if (isDry) {
    print(formatPlan(plan));
    return;
  }
  await applyRules(plan);
  const { interface: allowed, ports } = plan.settings;
  print(`Only ${allowed} reaches UDP port ${ports.join(', ')}, from now on and after each boot.`);
  const tested = await askAgent(config);
  if (tested !== undefined) print(`The running agent: ${printable(describeEnforcement(tested))}.`);
}

/** Returns what the running agent finds, which takes it a second; undefined without an agent. */
async function askAgent({ control }: Config): Promise<InterfaceStatus | undefined> {
  const ask = controlClient(control.socket ?? defaultControlSocket(process.env));
  let found: InterfaceStatus | undefined;
  for (const end = performance.now() + AGENT_MS; performance.now() < end; await pause(POLL_MS)) {
    const status = await ask('GET', '/status', statusSchema).catch(() => undefined);
    found = status?.interface;
    if (found?.enforcement !== 'unknown') return found;
  }
  return found;
}

const print = (text: string) => void process.stdout.write(`${text.trimEnd()}\n`);
