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
import { controlOptions, listing, showFromAgent, table } from './control-output.js';

/** What of a reply that is no text is shown, in bytes. */
const MAX_SHOWN_BYTES = 256;

const ls: CommandModule = {
  command: 'ls',
  describe: 'List the commands that the journal has, newest first; times are UTC',
  builder: (yargs) =>
    yargs.options({
      ...controlOptions,
      // As a number, one without its value would count as absent.
      limit: { type: 'string', describe: `How many are listed, 1 to ${MAX_LISTED} (default: ${DEFAULT_LISTED})` },
    }),
  handler: (argv) =>
    showFromAgent(argv, async (ask) => {
      const limit = checkInput(limitSchema.default(DEFAULT_LISTED), argv['limit'], '--limit');
      const answer = await ask('GET', `/commands?limit=${limit}`, commandListSchema);
      return { answer, text: formatCommands(answer.commands) };
    }),
};

const show: CommandModule = {
  command: 'show <id>',
  describe: 'Show all that the journal has of a command, its reply too; times are UTC',
  builder: (yargs) => yargs.options(controlOptions).positional('id', idPositional),
  handler: (argv) =>
    showFromAgent(argv, async (ask) => {
      const answer = await ask('GET', pathOf(argv['id']), commandSchema);
      return { answer, text: formatCommand(answer) };
    }),
};

const cancel: CommandModule = {
  command: 'cancel <id>',
  describe: 'Cancel a command that has not started',
  builder: (yargs) => yargs.options(controlOptions).positional('id', idPositional),
  handler: (argv) =>
    showFromAgent(argv, async (ask) => {
      const answer = await ask('DELETE', pathOf(argv['id']), cancelledSchema);
      return { answer, text: `command ${answer.cancelled} is cancelled: it will not run` };
    }),
};

const purge: CommandModule = {
  command: 'purge',
  describe: 'Forget all commands that have ended; repeats of them that still come would run again',
  builder: (yargs) => yargs.options(controlOptions),
  handler: (argv) =>
    showFromAgent(argv, async (ask) => {
      const answer = await ask('POST', '/commands/purge', purgedSchema);
      return { answer, text: `ended commands forgotten: ${answer.purged}` };
    }),
};

/** `supersim-agent commands`. */
export const commandsCommand: CommandModule = {
  command: 'commands <action>',
  describe: 'See, cancel or forget the commands in the journal of the agent that runs',
  builder: (yargs) => yargs.command(ls).command(show).command(cancel).command(purge).demandCommand(1),
  handler: () => undefined,
};

const idPositional = { type: 'string', describe: 'The command’s ID, as `ls` shows it' } as const;

/** @throws SupersimError `bad-input` */
const pathOf = (id: unknown): string => `/commands/${checkInput(idSchema, id, 'the ID')}`;

const HEAD = ['ID', 'RECEIVED (UTC)', 'NAME', 'STATE', 'OUTCOME/CODE', 'PEER', 'FORMAT', 'RUNS'] as const;

function formatCommands(commands: readonly CommandView[]): string {
  if (commands.length === 0) return 'The journal has no commands.';
  const rows = commands.map(({ id, received, name, state, outcome, code, peer, format, runs }) => {
    const ending = [outcome, code].filter((part) => part !== null).join('/');
    return [String(id), formatTime(received), name, state, ending || '-', peer, format, String(runs)];
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

/** A caller's deadline may be no time that a date can say. */
function formatTime(wall: number | null): string {
  if (wall === null) return '-';
  const date = new Date(wall);
  return Number.isNaN(date.getTime()) ? `${wall} ms` : date.toISOString();
}

const CONTROL = /(?![\t\n\r])\p{Cc}/u;

/** Text as it is, anything else in hexadecimal. */
function formatReply(reply: string | null): string {
  if (reply === null) return '-';
  const bytes = Buffer.from(reply, 'base64');
  const text = bytes.toString();
  if (isUtf8(bytes) && !CONTROL.test(text)) return text;
  const head = `0x${bytes.toString('hex', 0, MAX_SHOWN_BYTES)}`;
  return bytes.length <= MAX_SHOWN_BYTES ? head : `${head}… (${bytes.length} bytes in all)`;
}
