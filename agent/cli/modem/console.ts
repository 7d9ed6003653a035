import { createInterface } from 'node:readline';
import { formatError, printable } from '../../../shared/cli.js';
import { isSupersimError } from '../../../shared/errors.js';
import { type AtLine, checkedCommand, endedWell, formatAnswer } from './line.js';

const HISTORY = 200;
const PROMPT = 'AT> ';
const ERASE_LINE = '\r\x1b[K';

/**
 * Takes AT commands from stdin, a line each, until it ends or says `exit`; at a terminal with a prompt and a history.
 *
 * @returns whether all ended well
 * @throws SupersimError when the modem cannot be asked any more
 */
export async function converse(line: AtLine): Promise<boolean> {
  const terminal = process.stdin.isTTY && process.stdout.isTTY;
  const reader = createInterface({
    input: process.stdin,
    ...(terminal && { output: process.stdout }),
    terminal,
    historySize: HISTORY,
    removeHistoryDuplicates: true,
    prompt: PROMPT,
  });
  let good = true;
  let asking = false;
  line.onUnasked((text) => {
    process.stdout.write(`${terminal && !asking ? ERASE_LINE : ''}${printable(text)}\n`);
    if (terminal && !asking) reader.prompt(true);
  });
  const promptNext = () => {
    if (terminal) reader.prompt();
  };
  promptNext();
  for await (const text of reader) {
    if (/^\s*(?:exit|quit)\s*$/i.test(text)) break;
    if (text.trim() !== '') {
      asking = true;
      good = (await answer(line, text)) && good;
      asking = false;
    }
    promptNext();
  }
  reader.close();
  return good;
}

/** @returns whether it ended well */
async function answer(line: AtLine, text: string): Promise<boolean> {
  try {
    const lines = await line.run(checkedCommand(text));
    process.stdout.write(formatAnswer(lines));
    return endedWell(lines);
  } catch (error) {
    // One may try the next.
    if (!isSupersimError(error, 'bad-input') && !isSupersimError(error, 'modem-silent')) throw error;
    process.stderr.write(formatError(error));
    return false;
  }
}
