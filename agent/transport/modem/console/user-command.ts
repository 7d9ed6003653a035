import { SupersimError } from '../../../../shared/errors.js';
import { type CommandPart, splitCommand } from '../at/command-line.js';
import { attempt, ModemFaultError, type Script } from '../at/script.js';
import { actionsOf, SLOW_COMMANDS } from '../dialects/index.js';

const USUAL_MS = 15_000;
/** What waits for the network, or for the radio. */
const LONG_MS = 180_000;
const LONG: readonly string[] = ['+COPS', '+CGATT', '+CGACT', '+CFUN', ...SLOW_COMMANDS];
/** The modem takes no more commands after them: dialling, data calls, and short messages, which ask for their text. */
const ENDS_COMMANDS = /^(?:[DO].*|A|\+CGDATA|\+CMG[SWC])$/;

/**
 * Refuses what the modem would ask for data after: the next command would become the data, and might be sent to the
 * network.
 *
 * @throws SupersimError `bad-input`
 */
export function checkCommand(command: string): void {
  if (!splitCommand(command).some(asksForData)) return;
  throw new SupersimError('bad-input', `${command}: the modem would take what comes next for data`, {
    remedy: 'Send datagrams by the agent; here only commands can be given that are complete in themselves.',
  });
}

function asksForData(part: CommandPart): boolean {
  if (ENDS_COMMANDS.test(part.verb) && part.form !== '?') return true;
  return actionsOf(part).some((action) => action.type === 'send' && action.bytes !== undefined);
}

/**
 * Runs a command that somebody thought of. It is written only once, whatever comes of it.
 *
 * @returns the lines of its answer, the last of them the final result
 * @throws SupersimError `bad-input`, `modem-silent`
 */
export function* runAnyCommand(command: string): Script<readonly string[]> {
  checkCommand(command);
  const timeoutMs = splitCommand(command).some(({ verb }) => LONG.includes(verb)) ? LONG_MS : USUAL_MS;
  const outcome = yield* attempt(command, timeoutMs, { unrepeated: true });
  if (outcome.ok) return [...outcome.lines, 'OK'];
  if (outcome.failure === 'timeout')
    throw new ModemFaultError('silent', `no answer to ${command} in ${timeoutMs / 1000} s`);
  // The most telling line may be one of them.
  return [...outcome.lines.filter((line) => line !== outcome.error), outcome.error];
}

/** What came of a script on the port, as somebody is told it. */
export function toSupersimError(error: unknown): unknown {
  if (!(error instanceof ModemFaultError)) return error;
  const code = error.trouble === 'closed' ? 'modem-port-lost' : 'modem-silent';
  return new SupersimError(code, error.message, { cause: error });
}
