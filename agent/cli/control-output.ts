import type { Options } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { formatError, printable } from '../../shared/cli.js';
import { isSupersimError } from '../../shared/errors.js';
import { type Ask, controlClient } from '../service/control/client.js';
import { defaultControlSocket } from '../service/control/schema.js';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;

/** The flag of all commands that use the control socket. */
export const socketOption = {
  socket: {
    type: 'string',
    describe: 'Path of the agent’s control socket (default: /run/supersim-agent/control.sock)',
  },
} as const satisfies Record<string, Options>;

/** The flags of commands that print the agent's answer. */
export const controlOptions = {
  ...socketOption,
  json: { type: 'boolean', describe: 'Print the agent’s answer as JSON, on one line' },
} as const satisfies Record<string, Options>;

const socketFlag = z.object({ socket: z.string().min(1).optional() });
const jsonFlag = z.object({ json: z.boolean().default(false) });

/** The agent's answer, and its text for people, safe for a terminal. */
export interface Output {
  readonly answer: unknown;
  readonly text: string;
}

/** Sends requests to the agent and prints the answer. Sets exit code 1 for a failure, 2 for wrong arguments. */
export async function printAnswer(argv: unknown, run: (ask: Ask) => Promise<Output>): Promise<void> {
  await withSocket(argv, async (socket) => {
    const { json } = checkInput(jsonFlag, argv, 'the arguments');
    const { answer, text } = await run(controlClient(socket));
    process.stdout.write(`${json ? printable(JSON.stringify(answer)) : text}\n`);
  });
}

/** Runs a function with the path of the control socket. Sets the exit codes of `printAnswer`. */
export async function withSocket(argv: unknown, run: (socketPath: string) => Promise<void>): Promise<void> {
  // A closed pipe (`… | head`) is no error.
  process.stdout.once('error', () => process.exit());
  try {
    const { socket } = checkInput(socketFlag, argv, 'the arguments');
    await run(socket ?? defaultControlSocket(process.env));
  } catch (error) {
    process.stderr.write(formatError(error));
    const isUsage = isSupersimError(error, 'bad-input') || isSupersimError(error, 'too-large');
    process.exitCode = isUsage ? EXIT_USAGE : EXIT_ERROR;
  }
}

/** Longer cells of a table are cut. */
const MAX_CELL = 40;

/** Formats rows as aligned columns, safe for a terminal. */
export function table(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => cut([...printable(cell)])));
  const widths = (cells[0] ?? []).map((_cell, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const cut = (characters: readonly string[]) =>
  characters.length <= MAX_CELL ? characters.join('') : `${characters.slice(0, MAX_CELL - 1).join('')}…`;

/** Formats names and values, one line each, safe for a terminal. */
export function listing(lines: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}`).join('\n');
}
