import { realpath } from 'node:fs/promises';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import { configFromFlags } from '../../config/flags.js';
import { type Ask, controlClient } from '../../service/control/client.js';
import {
  AT_ANSWER_MS,
  atAnswerSchema,
  atCommandSchema,
  defaultControlSocket,
  modemSchema,
} from '../../service/control/schema.js';
import type { ModemEvent } from '../../transport/modem/at/modem-event.js';
import { attempt } from '../../transport/modem/at/script.js';
import { explainCmeError } from '../../transport/modem/console/cme-errors.js';
import { openPortSession } from '../../transport/modem/console/port-session.js';
import { probeAt } from '../../transport/modem/console/probe.js';
import { checkCommand, runUserCommand } from '../../transport/modem/console/user-command.js';

/** A connection to the modem for AT commands. */
export interface AtLine {
  /** Resolves to the lines of the response; the last is the final result code. @throws (rejects) SupersimError */
  run(command: string): Promise<readonly string[]>;
  /** Calls `show` for each unsolicited line. */
  onUnsolicited(show: (line: string) => void): void;
  close(): Promise<void>;
}

export interface LineOptions {
  /** Serial port; default: the configured one. */
  readonly path?: string | undefined;
  readonly baud?: number | undefined;
  /** Path of the configuration file. */
  readonly config?: string | undefined;
  /** Path of the agent's control socket. */
  readonly socket?: string | undefined;
}

/** @throws SupersimError `bad-input` */
export function checkedCommand(text: string): string {
  const command = checkInput(atCommandSchema, text, JSON.stringify(text));
  checkCommand(command);
  return command;
}

/** Formats a response, safe for a terminal. */
export const formatAnswer = (lines: readonly string[]): string =>
  lines.map((line) => `${printable(explainCmeError(line))}\n`).join('');

export const isSuccess = (lines: readonly string[]): boolean => lines.at(-1) === 'OK';

/**
 * Connects through the running agent if it uses this modem, else to the serial port.
 *
 * @throws (rejects) SupersimError
 */
export async function openLine({ path: named, baud, config: file, socket }: LineOptions): Promise<AtLine> {
  const { modem, control } = await configFromFlags({ config: file });
  const path = named ?? modem.path;
  const ask = controlClient(socket ?? control.socket ?? defaultControlSocket(process.env));
  const agent = await agentModem(ask);
  if ('path' in agent && (path === undefined || (await isSamePort(path, agent.path)))) return agentLine(ask);
  if (path === undefined) {
    const remedy = 'Name it with `--path`; `supersim-agent modem probe` finds it.';
    throw new SupersimError('bad-input', 'no serial port configured', { remedy });
  }
  return portLine(path, baud ?? modem.baudRate).catch((error: unknown) => {
    // The port may be open in an agent that this user may not ask.
    const isTaken = isSupersimError(error, 'modem-port-busy');
    throw isTaken && isSupersimError(agent, 'control-forbidden') ? agent : error;
  });
}

/** Returns the running agent's modem, or why there is none. */
const agentModem = (ask: Ask): Promise<{ readonly path: string } | SupersimError> =>
  ask('GET', '/modem', modemSchema).catch((error: unknown) => {
    if (isSupersimError(error)) return error;
    throw error;
  });

async function isSamePort(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([one, other].map((path) => realpath(path).catch(() => path)));
  return first === second;
}

const agentLine = (ask: Ask): AtLine => ({
  async run(command) {
    const url = `/modem/at?command=${encodeURIComponent(command)}`;
    return (await ask('POST', url, atAnswerSchema, { answerMs: AT_ANSWER_MS })).lines;
  },
  onUnsolicited: () => undefined,
  close: async () => undefined,
});

async function portLine(path: string, baudRate: number): Promise<AtLine> {
  let show: (line: string) => void = () => undefined;
  const session = await openPortSession(
    { path, baudRate, flowControl: 'none' },
    {
      event(event) {
        const line = unsolicitedLine(event);
        if (line !== undefined) show(line);
      },
    },
  );
  if (!(await session.run(probeAt()))) {
    await session.close();
    throw new SupersimError('modem-silent', `no response to AT on ${path}`);
  }
  // Makes the modem report errors by number.
  await session.run(attempt('AT+CMEE=1'));
  return {
    run: (command) => session.run(runUserCommand(command)),
    onUnsolicited(next) {
      show = next;
    },
    close: session.close,
  };
}

/** Includes unrecognised bytes: without a dialect these may be payloads. */
function unsolicitedLine(event: ModemEvent): string | undefined {
  if (event.kind === 'urc') return event.line;
  return event.kind === 'discarded' ? event.bytes.toString('latin1') : undefined;
}
