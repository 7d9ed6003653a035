import type { AtOutcome, AtRequest } from './request.js';

/** What a script asks for: a command to be run, or a pause. */
export type ScriptStep = AtRequest | { readonly waitMs: number };

/**
 * A sequence of commands as a generator: it yields what it asks for and gets each command's outcome. It has no port and
 * no clock.
 */
export type Script<T> = Generator<ScriptStep, T, AtOutcome>;

/** A fault of a modem, as far as the recovery has to tell one from another. */
export type ModemFault =
  /** The modem does not answer, or gives no usable answer. */
  | 'silent'
  | 'reset'
  | 'closed'
  | 'aborted'
  /** There is no SIM, or it asks for a PIN. */
  | 'sim'
  | 'registration'
  | 'context'
  | 'socket'
  /** A datagram was not sent; the socket can still be used. */
  | 'send'
  /** The modem refused a command that has to succeed. */
  | 'refused';

/** The error that a script throws for a fault of the modem. */
export class ModemFaultError extends Error {
  readonly fault: ModemFault;

  constructor(fault: ModemFault, message: string) {
    super(message);
    this.name = 'ModemFaultError';
    this.fault = fault;
  }
}

/** Time-outs in milliseconds (docs/vendor-facts.md, "AT: time-outs"). */
export const TIMEOUT = {
  at: 1000,
  plain: 5000,
  radio: 15_000,
  operator: 60_000,
} as const;

/** Runs one command and returns its outcome, also when the modem refuses it. */
export function* attempt(
  command: string,
  timeoutMs: number = TIMEOUT.plain,
  more: Omit<AtRequest, 'command' | 'timeoutMs'> = {},
): Script<AtOutcome> {
  const outcome = yield { command, timeoutMs, ...more };
  if (outcome.ok || outcome.failure === 'refused' || outcome.failure === 'timeout') return outcome;
  throw new ModemFaultError(outcome.failure, `${command}: ${outcome.error}`);
}

/**
 * Runs a command that has to succeed.
 *
 * @throws ModemFaultError
 */
export function* mustSucceed(
  fault: ModemFault,
  command: string,
  timeoutMs: number = TIMEOUT.plain,
  more: Omit<AtRequest, 'command' | 'timeoutMs'> = {},
): Script<Extract<AtOutcome, { ok: true }>> {
  const outcome = yield* attempt(command, timeoutMs, more);
  if (outcome.ok) return outcome;
  throw new ModemFaultError(fault, `${command}: ${outcome.error}`);
}

export function* pause(waitMs: number): Script<void> {
  yield { waitMs };
}

/** Returns the text of the first line of an answer with this name: `+CSQ` of `+CSQ: 21,99` gives `21,99`. */
export function answerOf(outcome: AtOutcome, name: string): string | undefined {
  const line = outcome.ok ? outcome.lines.find((one) => one.startsWith(`${name}:`)) : undefined;
  return line?.slice(name.length + 1).trim();
}
