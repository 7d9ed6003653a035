import type { Outcome, Request } from './request.js';

/** What a script asks for: a command to be run, or time to pass. */
export type Ask = Request | { readonly waitMs: number };

/**
 * A sequence of commands as a generator: it gives what it asks for, and gets each command's outcome. It knows no port
 * and no clock.
 */
export type Script<T> = Generator<Ask, T, Outcome>;

/** What is wrong, as far as it decides what helps. */
export type ModemFault =
  /** The modem does not answer, or answers nothing sensible. */
  | 'silent'
  | 'reset'
  | 'closed'
  | 'aborted'
  /** No SIM, or one that wants a PIN. */
  | 'sim'
  | 'registration'
  | 'context'
  | 'socket'
  /** A datagram did not leave; the socket is as good as before. */
  | 'send'
  /** The modem refused a command that has to work. */
  | 'refused';

/** Why a script did not end well. */
export class ModemFaultError extends Error {
  readonly trouble: ModemFault;

  constructor(trouble: ModemFault, message: string) {
    super(message);
    this.name = 'ModemFaultError';
    this.trouble = trouble;
  }
}

/** Time-outs in milliseconds (docs/vendor-facts.md, "AT: time-outs"). */
export const TIMEOUT = {
  at: 1000,
  plain: 5000,
  radio: 15_000,
  operator: 60_000,
} as const;

/** Runs one command; its outcome is the caller's to judge. */
export function* attempt(
  command: string,
  timeoutMs: number = TIMEOUT.plain,
  more: Omit<Request, 'command' | 'timeoutMs'> = {},
): Script<Outcome> {
  const outcome = yield { command, timeoutMs, ...more };
  if (outcome.ok || outcome.failure === 'refused' || outcome.failure === 'timeout') return outcome;
  throw new ModemFaultError(outcome.failure, `${command}: ${outcome.error}`);
}

/**
 * Runs a command that has to work.
 *
 * @throws ModemFaultError
 */
export function* must(
  trouble: ModemFault,
  command: string,
  timeoutMs: number = TIMEOUT.plain,
  more: Omit<Request, 'command' | 'timeoutMs'> = {},
): Script<Extract<Outcome, { ok: true }>> {
  const outcome = yield* attempt(command, timeoutMs, more);
  if (outcome.ok) return outcome;
  throw new ModemFaultError(trouble, `${command}: ${outcome.error}`);
}

export function* pause(waitMs: number): Script<void> {
  yield { waitMs };
}

/** The fields of the first line of an answer that has a name: `+CSQ` of `+CSQ: 21,99` gives `21` and `99`. */
export function answerOf(outcome: Outcome, name: string): string | undefined {
  const line = outcome.ok ? outcome.lines.find((one) => one.startsWith(`${name}:`)) : undefined;
  return line?.slice(name.length + 1).trim();
}
