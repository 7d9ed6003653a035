import { isUtf8 } from 'node:buffer';
import type { CommandModule } from 'yargs';
import { checkInput } from '../../shared/check-input.js';
import {
  type CommandView,
  cancelledSchema,
  commandListSchema,
  commandSchema,
  DEFAULT_LISTED,
  idSchema,
  limitSchema,
  MAX_LISTED,
  purgedSchema,
} from '../service/control/schema.js';
import { controlOptions, listing, printAnswer, table } from './control-output.js';

/** Maximum bytes shown of a reply that is not text. */
const MAX_SHOWN_BYTES = 256;

const ls: CommandModule = {
  command: 'ls',
  describe: 'List the commands in the journal, newest first; times are in UTC',
  builder: (yargs) =>
    yargs.options({
      ...controlOptions,
      // With the type number, yargs ignores the flag without a value.
      limit: {
        type: 'string',
        describe: `Maximum number of commands to list, 1 to ${MAX_LISTED} (default: ${DEFAULT_LISTED})`,
      },
    }),
  handler: (argv) =>
    printAnswer(argv, async (ask) => {
      const limit = checkInput(limitSchema.default(DEFAULT_LISTED), argv['limit'], '--limit');
      const answer = await ask('GET', `/commands?limit=${limit}`, commandListSchema);
      return { answer, text: formatCommands(answer.commands) };
    }),
};

const show: CommandModule = {
  command: 'show <id>',
  describe: 'Show a command in the journal and its reply; times are in UTC',
  builder: (yargs) => yargs.options(controlOptions).positional('id', idPositional),
  handler: (argv) =>
    printAnswer(argv, async (ask) => {
      const answer = await ask('GET', pathOf(argv['id']), commandSchema);
      return { answer, text: formatCommand(answer) };
    }),
};

const cancel: CommandModule = {
  command: 'cancel <id>',
  describe: 'Cancel a command that has not started',
  builder: (yargs) => yargs.options(controlOptions).positional('id', idPositional),
  handler: (argv) =>
    printAnswer(argv, async (ask) => {
      const answer = await ask('DELETE', pathOf(argv['id']), cancelledSchema);
      return { answer, text: `command ${answer.cancelled} cancelled: it will not run` };
    }),
};

const purge: CommandModule = {
  command: 'purge',
  describe:
    'Delete all finished commands and forget their outcomes: a repeat of one that arrives later runs again; the journal gets a new identity',
  builder: (yargs) => yargs.options(controlOptions),
  handler: (argv) =>
    printAnswer(argv, async (ask) => {
      const answer = await ask('POST', '/commands/purge', purgedSchema);
      return { answer, text: `finished commands deleted: ${answer.purged}` };
    }),
};

/** `supersim-agent commands`. */
export const commandsCommand: CommandModule = {
  command: 'commands <action>',
  describe: 'List, show, cancel or delete commands in the running agent’s journal',
  builder: (yargs) => yargs.command(ls).command(show).command(cancel).command(purge).demandCommand(1),
  handler: () => undefined,
};

const idPositional = { type: 'string', describe: 'ID of the command, as shown by `commands ls`' } as const;

/** @throws SupersimError `bad-input` */
const pathOf = (id: unknown): string => `/commands/${checkInput(idSchema, id, 'the ID')}`;

const HEAD = ['ID', 'RECEIVED (UTC)', 'NAME', 'STATE', 'OUTCOME/CODE', 'PEER', 'FORMAT', 'RUNS'] as const;

function formatCommands(commands: readonly CommandView[]): string {
  if (commands.length === 0) return 'The journal has no commands.';
  const rows = commands.map(({ id, received, name, state, outcome, code, peer, format, runs }) => {
    const result = [outcome, code].filter((part) => part !== null).join('/');
    return [String(id), formatTime(received), name, state, result || '-', peer, format, String(runs)];
  });
  return table([HEAD, ...rows]);
}

function formatCommand(command: CommandView): string {
  return listing([
    ['id', String(command.id)],
    ['name', command.name],
    ['state', command.state],
    ['outcome', command.outcome ?? '-'],
    ['code', command.code ?? '-'],
    ['caller’s id', String(command.callerId ?? '-')],
    ['peer', command.peer],
    ['source', command.source],
    ['port', String(command.port)],
    ['transport', command.transport],
    ['format', command.format],
    ['idempotent', command.idempotent ? 'yes' : 'no'],
    ['runs', String(command.runs)],
    ['received', formatTime(command.received)],
    ['started', formatTime(command.started)],
    ['finished', formatTime(command.finished)],
    ['deadline', formatTime(command.deadline)],
    ['reply', formatReply(command.reply ?? null)],
  ]);
}

/** A caller's deadline may exceed the range of a Date. */
function formatTime(wall: number | null): string {
  if (wall === null) return '-';
  const date = new Date(wall);
  return Number.isNaN(date.getTime()) ? `${wall} ms` : date.toISOString();
}

const CONTROL = /(?![\t\n\r])\p{Cc}/u;

/** Shows text as it is, other bytes in hexadecimal. */
function formatReply(reply: string | null): string {
  if (reply === null) return '-';
  const bytes = Buffer.from(reply, 'base64');
  const text = bytes.toString();
  if (isUtf8(bytes) && !CONTROL.test(text)) return text;
  const head = `0x${bytes.toString('hex', 0, MAX_SHOWN_BYTES)}`;
  return bytes.length <= MAX_SHOWN_BYTES ? head : `${head}… (${bytes.length} bytes)`;
}
