import { answerOf, attempt, ModemFaultError, pause, type Script, TIMEOUT } from '../at/script.js';

/** A SIM that wakes up reports failures for a while. */
const PATIENCE_MS = 15_000;
const RETRY_MS = 1000;
const WAITS = 5;

const ENTER_IT = 'enter the right one with `supersim-agent modem at \'AT+CPIN="PIN"\'`';

/** @throws ModemFaultError `sim` when it asks for something, or is not there */
export function* waitForSim(): Script<void> {
  for (let waited = 0; ; waited += RETRY_MS) {
    const outcome = yield* attempt('AT+CPIN?');
    const state = answerOf(outcome, '+CPIN');
    if (state === 'READY') return;
    if (state !== undefined && state !== 'NOT READY') throw new ModemFaultError('sim', whatItAsksFor(state));
    const error = outcome.ok ? 'not ready' : outcome.error;
    if (isPinError(error)) throw new ModemFaultError('sim', whatItAsksFor('SIM PIN'));
    // Others go away while the SIM wakes up, or never.
    if (waited >= PATIENCE_MS) throw new ModemFaultError('sim', describeSimError(error));
    yield* pause(RETRY_MS);
  }
}

/** `SIM PIN2` is asked for by nothing that the agent does. */
const isPinError = (error: string): boolean => /^\+CME ERROR: ?(?:11|SIM PIN(?: required)?)$/.test(error);

/** What somebody has to do about a SIM that asks for something. */
export function whatItAsksFor(state: string): string {
  if (state === 'SIM PIN') return `the SIM asks for its PIN: set modem.pin, or ${ENTER_IT}`;
  if (state !== 'SIM PUK') return `the SIM asks for ${state}`;
  return 'the SIM is blocked, after too many wrong PINs: enter its PUK and a new PIN with `supersim-agent modem at \'AT+CPIN="PUK","PIN"\'`';
}

/** What somebody has to do about a SIM of which the modem says this; undefined where nobody has to, or can. */
export function adviceFor(state: string): string | undefined {
  if (state === 'SIM PIN' || isPinError(state)) return whatItAsksFor('SIM PIN');
  if (state === 'SIM PUK' || /^\+CME ERROR: ?(?:12$|SIM PUK)/.test(state)) return whatItAsksFor('SIM PUK');
  return undefined;
}

/** 3GPP TS 27.007 §9.2. */
function describeSimError(error: string): string {
  const number = /^\+CME ERROR: ?(\d+)/.exec(error)?.[1];
  const meaning = { '10': 'there is no SIM', '13': 'the SIM fails', '14': 'the SIM is busy', '15': 'the SIM is wrong' };
  const known = Object.entries(meaning).find(([code]) => code === number)?.[1];
  return known === undefined ? error : `${known} (${error})`;
}

/** Whether it asks for its PIN now. */
export function* asksForPin(): Script<boolean> {
  for (let waits = 0; ; waits++) {
    const outcome = yield* attempt('AT+CPIN?');
    const state = answerOf(outcome, '+CPIN');
    if (state === 'SIM PIN') return true;
    if (!outcome.ok && isPinError(outcome.error)) return true;
    // It wakes up.
    const isBusy = !outcome.ok && /^\+CME ERROR: ?(?:14|SIM busy)/i.test(outcome.error);
    if (!isBusy || waits === WAITS) return false;
    yield* pause(RETRY_MS);
  }
}

/** Of a PIN that is not to be entered again: a SIM takes three wrong ones, then none at all. */
export function notTaken(error?: string): ModemFaultError {
  const why = error === undefined ? '' : ` (${error})`;
  const remedy = `correct modem.pin, or ${ENTER_IT}`;
  return new ModemFaultError(
    'sim',
    `the SIM did not take the PIN of modem.pin${why}; it is not entered again: ${remedy}`,
  );
}

/**
 * Enters the PIN.
 *
 * @returns whether it was taken; undefined when the modem does not say, and it may have been counted
 */
export function* enterPin(pin: string): Script<{ readonly taken: boolean | undefined; readonly error?: string }> {
  const outcome = yield* attempt(`AT+CPIN="${pin}"`, TIMEOUT.plain, { once: true });
  if (outcome.ok) return { taken: true };
  return { taken: outcome.failure === 'refused' ? false : undefined, error: outcome.error };
}
