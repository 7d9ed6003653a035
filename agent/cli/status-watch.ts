import { setTimeout as pause } from 'node:timers/promises';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { formatError, printable } from '../../shared/cli.js';
import { isSupersimError } from '../../shared/errors.js';
import { type Ask, controlClient } from '../service/control/client.js';
import { type Shown, withSocket } from './control-output.js';

const INTERVAL_MS = 1000;
/** An agent that hangs is said to after so long, not as late as usual. */
const ANSWER_MS = 1000;

const flags = z.object({ json: z.boolean().default(false) });

/** What one look finds: of which process, or why there is none. */
type Look = (Shown & { readonly pid: number }) | { readonly error: unknown };

/**
 * Shows something of the agent again each second, until Ctrl-C or until nobody reads it: over itself on a terminal,
 * else one after the other. Goes on while the agent is away.
 */
export const watchAgent = (argv: unknown, look: (ask: Ask) => Promise<Shown & { readonly pid: number }>) =>
  withSocket(argv, async (socket) => {
    const { json } = checkInput(flags, argv, 'the arguments');
    const { stdout } = process;
    const client = controlClient(socket);
    const ask: Ask = (method, path, schema) => client(method, path, schema, { answerMs: ANSWER_MS });
    const show = json ? asJson : createNarrator();
    process.once('SIGINT', () => process.exit());
    if (stdout.isTTY && !json) stdout.write(CLEAR);
    for (let before = ''; ; await pause(INTERVAL_MS)) {
      const text = show(await look(ask).catch(awayOnly));
      if (stdout.isTTY && !json) stdout.write(frame(text, stdout));
      // That it is still away is no news.
      else if (text !== before) stdout.write(`${text}\n${json ? '' : '\n'}`);
      before = text;
    }
  });

/** @throws whatever waiting does not help against */
function awayOnly(error: unknown): Look {
  if (isSupersimError(error, 'control-unreachable')) return { error };
  throw error;
}

function asJson(found: Look): string {
  if ('answer' in found) return printable(JSON.stringify(found.answer));
  const { error } = found;
  return printable(JSON.stringify(isSupersimError(error) ? { code: error.code, message: error.message } : {}));
}

/** Says since when it is away, and that it has been. */
function createNarrator(now = () => new Date()): (found: Look) => string {
  let process: number | undefined;
  let away: Date | undefined;
  let restart = '';
  return (found) => {
    if ('error' in found) {
      away ??= now();
      return `No agent since ${formatTime(away)}; it is waited for.\n\n${formatError(found.error).trimEnd()}`;
    }
    const { pid, text } = found;
    if (process !== undefined && process !== pid) {
      restart = `\n\nThe agent was started again: process ${process}, from ${formatTime(now())} on ${pid}.`;
    }
    process = pid;
    away = undefined;
    return `${text}${restart}`;
  };
}

const formatTime = (date: Date): string => `${date.toISOString().slice(11, 19)} UTC`;

const CLEAR = '\u001b[2J';
const HOME = '\u001b[H';
const TO_LINE_END = '\u001b[K';
const TO_END = '\u001b[J';

/** A text over what the terminal shows, as much of it as there is room for. A serial console says that it has none. */
function frame(text: string, { columns, rows }: { columns?: number; rows?: number }): string {
  const lines = text.split('\n').slice(0, (rows || 24) - 1);
  const cut = lines.map((line) => `${[...line].slice(0, columns || 80).join('')}${TO_LINE_END}\n`);
  return `${HOME}${cut.join('')}${TO_END}`;
}
