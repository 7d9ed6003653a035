import { SupersimError } from '../../../../shared/errors.js';
import { type CommandPart, splitCommand } from '../at/command-line.js';
import { attempt, ModemFaultError, type Script } from '../at/script.js';
import { actionsOf, SLOW_COMMANDS } from '../dialects/index.js';

const TIMEOUT_MS = 15_000;
/** Time-out of commands that wait for the network or the radio. */
const SLOW_TIMEOUT_MS = 180_000;
const SLOW: readonly string[] = ['+COPS', '+CGATT', '+CGACT', '+CFUN', ...SLOW_COMMANDS];
/**
 * Commands after which the modem takes no more commands: dialling, data calls, and short messages, which ask for text.
 */
const ENDS_COMMANDS = /^(?:[DO].*|A|\+CGDATA|\+CMG[SWC])$/;

/**
 * Refuses a command after which the modem asks for data: the next command would become the data, and might be sent to
 * the network.
 *
 * @throws SupersimError `bad-input`
 */
export function checkCommand(command: string): void {
  if (!splitCommand(command).some(asksForData)) return;
  throw new SupersimError('bad-input', `${command}: the modem would take the next command for data`, {
    remedy: 'Use commands that are complete in one line; send datagrams with the agent.',
  });
}

function asksForData(part: CommandPart): boolean {
  if (ENDS_COMMANDS.test(part.verb) && part.form !== '?') return true;
  return actionsOf(part).some((action) => action.type === 'send' && action.bytes !== undefined);
}

/**
 * Runs a command that a person entered. It is never repeated.
 *
 * @returns the lines of its answer, the last of them the final result
 * @throws SupersimError `bad-input`, `modem-silent`
 */
export function* runUserCommand(command: string): Script<readonly string[]> {
  checkCommand(command);
  const timeoutMs = splitCommand(command).some(({ verb }) => SLOW.includes(verb)) ? SLOW_TIMEOUT_MS : TIMEOUT_MS;
  const outcome = yield* attempt(command, timeoutMs, { unrepeated: true });
  if (outcome.ok) return [...outcome.lines, 'OK'];
  if (outcome.failure === 'timeout')
    throw new ModemFaultError('silent', `no answer to ${command} in ${timeoutMs / 1000} s`);
  // The most specific error may be one of the lines.
  return [...outcome.lines.filter((line) => line !== outcome.error), outcome.error];
}

/** Turns the error of a script into one with an error code. */
export function toSupersimError(error: unknown): unknown {
  if (!(error instanceof ModemFaultError)) return error;
  const code = error.fault === 'closed' ? 'modem-port-lost' : 'modem-silent';
  return new SupersimError(code, error.message, { cause: error });
}
