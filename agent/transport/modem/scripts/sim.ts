import { answerOf, attempt, ModemFaultError, pause, type Script, TIMEOUT } from '../at/script.js';

/** A SIM that starts reports failures for a while. */
const PATIENCE_MS = 15_000;
const RETRY_MS = 1000;
const MAX_WAITS = 5;

const ENTER_PIN = 'enter the right one with `supersim-agent modem at \'AT+CPIN="PIN"\'`';

/** Waits until the SIM is ready. @throws ModemFaultError `sim` when it asks for a PIN or is missing */
export function* waitForSim(): Script<void> {
  for (let waited = 0; ; waited += RETRY_MS) {
    const outcome = yield* attempt('AT+CPIN?');
    const state = answerOf(outcome, '+CPIN');
    if (state === 'READY') return;
    if (state !== undefined && state !== 'NOT READY') throw new ModemFaultError('sim', describeSimRequest(state));
    const error = outcome.ok ? 'not ready' : outcome.error;
    if (isPinError(error)) throw new ModemFaultError('sim', describeSimRequest('SIM PIN'));
    // Other errors pass while the SIM starts, or never.
    if (waited >= PATIENCE_MS) throw new ModemFaultError('sim', describeSimError(error));
    yield* pause(RETRY_MS);
  }
}

/** The agent never needs `SIM PIN2`. */
const isPinError = (error: string): boolean => /^\+CME ERROR: ?(?:11|SIM PIN(?: required)?)$/.test(error);

/** Says what to do about a SIM that asks for this. */
export function describeSimRequest(state: string): string {
  if (state === 'SIM PIN') return `the SIM asks for its PIN: set modem.pin, or ${ENTER_PIN}`;
  if (state !== 'SIM PUK') return `the SIM asks for ${state}`;
  return 'the SIM is blocked, after too many wrong PINs: enter its PUK and a new PIN with `supersim-agent modem at \'AT+CPIN="PUK","PIN"\'`';
}

/** Says what to do about a SIM in this state or with this error; undefined where there is nothing to do. */
export function simAdvice(state: string): string | undefined {
  if (state === 'SIM PIN' || isPinError(state)) return describeSimRequest('SIM PIN');
  if (state === 'SIM PUK' || /^\+CME ERROR: ?(?:12$|SIM PUK)/.test(state)) return describeSimRequest('SIM PUK');
  return undefined;
}

/** 3GPP TS 27.007 §9.2. */
function describeSimError(error: string): string {
  const number = /^\+CME ERROR: ?(\d+)/.exec(error)?.[1];
  const meaning = { '10': 'no SIM inserted', '13': 'SIM failure', '14': 'SIM busy', '15': 'SIM wrong' };
  const known = Object.entries(meaning).find(([code]) => code === number)?.[1];
  return known === undefined ? error : `${known} (${error})`;
}

/** Asks whether the SIM wants its PIN now. */
export function* asksForPin(): Script<boolean> {
  for (let waits = 0; ; waits++) {
    const outcome = yield* attempt('AT+CPIN?');
    const state = answerOf(outcome, '+CPIN');
    if (state === 'SIM PIN') return true;
    if (!outcome.ok && isPinError(outcome.error)) return true;
    // The SIM is still starting.
    const isBusy = !outcome.ok && /^\+CME ERROR: ?(?:14|SIM busy)/i.test(outcome.error);
    if (!isBusy || waits === MAX_WAITS) return false;
    yield* pause(RETRY_MS);
  }
}

/** The error for a PIN that is not entered again: a SIM blocks itself after three wrong PINs. */
export function pinRefused(error?: string): ModemFaultError {
  const detail = error === undefined ? '' : ` (${error})`;
  const remedy = `correct modem.pin, or ${ENTER_PIN}`;
  return new ModemFaultError(
    'sim',
    `the SIM did not accept the PIN of modem.pin${detail}, so it is not entered again: ${remedy}`,
  );
}

/**
 * Enters the PIN.
 *
 * @returns `accepted`: undefined when the modem did not answer; the SIM may have counted the attempt
 */
export function* enterPin(pin: string): Script<{ readonly accepted: boolean | undefined; readonly error?: string }> {
  const outcome = yield* attempt(`AT+CPIN="${pin}"`, TIMEOUT.plain, { once: true });
  if (outcome.ok) return { accepted: true };
  return { accepted: outcome.failure === 'refused' ? false : undefined, error: outcome.error };
}
