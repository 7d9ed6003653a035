import type { Options } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { formatError, printable } from '../../shared/cli.js';
import { isSupersimError } from '../../shared/errors.js';
import { type Ask, controlClient } from '../service/control/client.js';
import { defaultControlSocket } from '../service/control/schema.js';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;

/** The flag of every command that asks the agent that runs. */
export const socketOption = {
  socket: {
    type: 'string',
    describe: 'The agent’s control socket (default: /run/supersim-agent/control.sock)',
  },
} as const satisfies Record<string, Options>;

/** The flags of those that print its answer. */
export const controlOptions = {
  ...socketOption,
  json: { type: 'boolean', describe: 'Print the agent’s answer as JSON, on one line' },
} as const satisfies Record<string, Options>;

const socketFlag = z.object({ socket: z.string().min(1).optional() });
const jsonFlag = z.object({ json: z.boolean().default(false) });

/** What a command prints: what the agent answered, and its text for people, safe for a terminal. */
export interface Shown {
  readonly answer: unknown;
  readonly text: string;
}

/** Asks the agent and prints what it answered. Ends with exit code 1 when that fails, with 2 for wrong arguments. */
export async function showFromAgent(argv: unknown, run: (ask: Ask) => Promise<Shown>): Promise<void> {
  await withSocket(argv, async (socket) => {
    const { json } = checkInput(jsonFlag, argv, 'the arguments');
    const { answer, text } = await run(controlClient(socket));
    process.stdout.write(`${json ? printable(JSON.stringify(answer)) : text}\n`);
  });
}

/** Does something with the agent's control socket. Ends as `showFromAgent` does. */
export async function withSocket(argv: unknown, run: (socketPath: string) => Promise<void>): Promise<void> {
  // Who closes the pipe (`… | head`) has read enough.
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

/** Longer than this, a cell of a table is cut. */
const MAX_CELL = 40;

/** Rows of cells as aligned columns, safe for a terminal. */
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

/** Names and values, a line for each, safe for a terminal. */
export function listing(lines: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}`).join('\n');
}
