import { setTimeout as pause } from 'node:timers/promises';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { formatError, printable } from '../../shared/cli.js';
import { isSupersimError } from '../../shared/errors.js';
import { type Ask, controlClient } from '../service/control/client.js';
import { type Output, withSocket } from './control-output.js';

const INTERVAL_MS = 1000;
/** Time limit of an answer: an agent that hangs is reported sooner than usual. */
const ANSWER_MS = 1000;

const flags = z.object({ json: z.boolean().default(false) });

/** Result of one request: the output of an agent's process, or why there is none. */
type Sample = (Output & { readonly pid: number }) | { readonly error: unknown };

/**
 * Shows output of the agent every second until Ctrl-C or a closed pipe: in place on a terminal, otherwise line by line.
 * Continues while no agent answers.
 */
export const watchAgent = (argv: unknown, request: (ask: Ask) => Promise<Output & { readonly pid: number }>) =>
  withSocket(argv, async (socket) => {
    const { json } = checkInput(flags, argv, 'the arguments');
    const { stdout } = process;
    const client = controlClient(socket);
    const ask: Ask = (method, path, schema) => client(method, path, schema, { answerMs: ANSWER_MS });
    const show = json ? asJson : createNarrator();
    process.once('SIGINT', () => process.exit());
    if (stdout.isTTY && !json) stdout.write(CLEAR);
    for (let before = ''; ; await pause(INTERVAL_MS)) {
      const text = show(await request(ask).catch(unreachableOnly));
      if (stdout.isTTY && !json) stdout.write(frame(text, stdout));
      // Prints changes only.
      else if (text !== before) stdout.write(`${text}\n${json ? '' : '\n'}`);
      before = text;
    }
  });

/** @throws any other error: waiting does not help */
function unreachableOnly(error: unknown): Sample {
  if (isSupersimError(error, 'control-unreachable')) return { error };
  throw error;
}

function asJson(found: Sample): string {
  if ('answer' in found) return printable(JSON.stringify(found.answer));
  const { error } = found;
  return printable(JSON.stringify(isSupersimError(error) ? { code: error.code, message: error.message } : {}));
}

/** Adds since when no agent answers, and whether it was restarted. */
function createNarrator(now = () => new Date()): (found: Sample) => string {
  let process: number | undefined;
  let unreachableSince: Date | undefined;
  let restart = '';
  return (found) => {
    if ('error' in found) {
      unreachableSince ??= now();
      return `No agent since ${formatTime(unreachableSince)}: waiting for it.\n\n${formatError(found.error).trimEnd()}`;
    }
    const { pid, text } = found;
    if (process !== undefined && process !== pid) {
      restart = `\n\nThe agent was restarted at ${formatTime(now())}: process ${process} became ${pid}.`;
    }
    process = pid;
    unreachableSince = undefined;
    return `${text}${restart}`;
  };
}

const formatTime = (date: Date): string => `${date.toISOString().slice(11, 19)} UTC`;

const CLEAR = '\u001b[2J';
const HOME = '\u001b[H';
const TO_LINE_END = '\u001b[K';
const TO_END = '\u001b[J';

/** Draws a text over the terminal's contents, cut to its size. A serial console reports the size 0. */
function frame(text: string, { columns, rows }: { columns?: number; rows?: number }): string {
  const lines = text.split('\n').slice(0, (rows || 24) - 1);
  const cut = lines.map((line) => `${[...line].slice(0, columns || 80).join('')}${TO_LINE_END}\n`);
  return `${HOME}${cut.join('')}${TO_END}`;
}
