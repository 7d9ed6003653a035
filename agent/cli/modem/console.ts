import { createInterface } from 'node:readline';
import { formatError, printable } from '../../../shared/cli.js';
import { isSupersimError } from '../../../shared/errors.js';
import { type AtLine, checkedCommand, formatAnswer, isSuccess } from './line.js';

const HISTORY = 200;
const PROMPT = 'AT> ';
const ERASE_LINE = '\r\x1b[K';

/**
 * Reads AT commands from stdin, one a line, until the end or `exit`; on a terminal with a prompt and a history.
 *
 * @returns whether all commands ended with OK
 * @throws (rejects) SupersimError when the connection to the modem fails
 */
export async function runConsole(line: AtLine): Promise<boolean> {
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
  let isRunning = false;
  line.onUnsolicited((text) => {
    process.stdout.write(`${terminal && !isRunning ? ERASE_LINE : ''}${printable(text)}\n`);
    if (terminal && !isRunning) reader.prompt(true);
  });
  const promptNext = () => {
    if (terminal) reader.prompt();
  };
  promptNext();
  for await (const text of reader) {
    if (/^\s*(?:exit|quit)\s*$/i.test(text)) break;
    if (text.trim() !== '') {
      isRunning = true;
      good = (await runLine(line, text)) && good;
      isRunning = false;
    }
    promptNext();
  }
  reader.close();
  return good;
}

/** @returns whether the command ended with OK */
async function runLine(line: AtLine, text: string): Promise<boolean> {
  try {
    const lines = await line.run(checkedCommand(text));
    process.stdout.write(formatAnswer(lines));
    return isSuccess(lines);
  } catch (error) {
    // The next command may succeed.
    if (!isSupersimError(error, 'bad-input') && !isSupersimError(error, 'modem-silent')) throw error;
    process.stderr.write(formatError(error));
    return false;
  }
}
