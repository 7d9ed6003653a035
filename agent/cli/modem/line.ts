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
import { withMeaning } from '../../transport/modem/console/cme-errors.js';
import { openPortSession } from '../../transport/modem/console/port-session.js';
import { probeAt } from '../../transport/modem/console/probe.js';
import { checkCommand, runUserCommand } from '../../transport/modem/console/user-command.js';

/** A way to the modem. */
export interface AtLine {
  /** The lines of the answer, the last of them the final result. @throws SupersimError */
  run(command: string): Promise<readonly string[]>;
  /** Has each line shown that the modem says unasked. */
  onUnasked(show: (line: string) => void): void;
  close(): Promise<void>;
}

export interface LineOptions {
  /** Instead of the configured port. */
  readonly path?: string | undefined;
  readonly baud?: number | undefined;
  /** The configuration's file. */
  readonly config?: string | undefined;
  /** The agent's control socket. */
  readonly socket?: string | undefined;
}

/** @throws SupersimError `bad-input` */
export function checkedCommand(text: string): string {
  const command = checkInput(atCommandSchema, text, JSON.stringify(text));
  checkCommand(command);
  return command;
}

/** An answer as it is shown, safe for a terminal. */
export const formatAnswer = (lines: readonly string[]): string =>
  lines.map((line) => `${printable(withMeaning(line))}\n`).join('');

export const endedWell = (lines: readonly string[]): boolean => lines.at(-1) === 'OK';

/**
 * Through the agent while it uses this modem, else to the port itself.
 *
 * @throws SupersimError
 */
export async function openLine({ path: named, baud, config: file, socket }: LineOptions): Promise<AtLine> {
  const { modem, control } = await configFromFlags({ config: file });
  const path = named ?? modem.path;
  const ask = controlClient(socket ?? control.socket ?? defaultControlSocket(process.env));
  const agent = await agentModem(ask);
  if ('path' in agent && (path === undefined || (await isSamePort(path, agent.path)))) return lineThrough(ask);
  if (path === undefined) {
    const remedy = 'Name it with `--path`; `supersim-agent modem probe` finds it.';
    throw new SupersimError('bad-input', 'no serial port is configured', { remedy });
  }
  return lineTo(path, baud ?? modem.baudRate).catch((error: unknown) => {
    // It may well be the agent that has it.
    const isTaken = isSupersimError(error, 'modem-port-busy');
    throw isTaken && isSupersimError(agent, 'control-forbidden') ? agent : error;
  });
}

/** The modem of the agent that runs, or why there is none. */
const agentModem = (ask: Ask): Promise<{ readonly path: string } | SupersimError> =>
  ask('GET', '/modem', modemSchema).catch((error: unknown) => {
    if (isSupersimError(error)) return error;
    throw error;
  });

async function isSamePort(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([one, other].map((path) => realpath(path).catch(() => path)));
  return first === second;
}

const lineThrough = (ask: Ask): AtLine => ({
  async run(command) {
    const url = `/modem/at?command=${encodeURIComponent(command)}`;
    return (await ask('POST', url, atAnswerSchema, { answerMs: AT_ANSWER_MS })).lines;
  },
  onUnasked: () => undefined,
  close: async () => undefined,
});

async function lineTo(path: string, baudRate: number): Promise<AtLine> {
  let show: (line: string) => void = () => undefined;
  const session = await openPortSession(
    { path, baudRate, flowControl: 'none' },
    {
      event(event) {
        const line = unaskedLine(event);
        if (line !== undefined) show(line);
      },
    },
  );
  if (!(await session.run(probeAt()))) {
    await session.close();
    throw new SupersimError('modem-silent', `nothing answers AT on ${path}`);
  }
  // Else errors come without their number.
  await session.run(attempt('AT+CMEE=1'));
  return {
    run: (command) => session.run(runUserCommand(command)),
    onUnasked(next) {
      show = next;
    },
    close: session.close,
  };
}

/** Also what is not understood: without a dialect, payloads are among it. */
function unaskedLine(event: ModemEvent): string | undefined {
  if (event.kind === 'urc') return event.line;
  return event.kind === 'discarded' ? event.bytes.toString('latin1') : undefined;
}
