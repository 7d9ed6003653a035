import { answerOf, attempt, ModemTrouble, pause, type Script, TIMEOUT } from './script.js';

const WAITS = 5;
const WAIT_MS = 1000;

/**
 * Enters the PIN, if the SIM asks for it.
 *
 * @param mayEnter asked just before; a SIM takes three wrong ones, then none at all
 * @throws ModemTrouble `sim` when the SIM does not take it, or may not be given it
 */
export function* unlock(pin: string, mayEnter: () => boolean): Script<boolean> {
  if (!(yield* asksForPin())) return false;
  if (!mayEnter()) throw new ModemTrouble('sim', 'the SIM asks for its PIN, and has not taken that of modem.pin');
  // Not repeated when no answer comes: it may have been counted.
  const outcome = yield* attempt(`AT+CPIN="${pin}"`, TIMEOUT.plain, { once: true });
  if (!outcome.ok) throw new ModemTrouble('sim', `the SIM does not take the PIN of modem.pin: ${outcome.error}`);
  return true;
}

function* asksForPin(): Script<boolean> {
  for (let waits = 0; ; waits++) {
    const outcome = yield* attempt('AT+CPIN?');
    const state = answerOf(outcome, '+CPIN');
    if (state === 'SIM PIN') return true;
    if (!outcome.ok && /^\+CME ERROR: ?(?:11|SIM PIN)/.test(outcome.error)) return true;
    // It wakes up.
    const isBusy = !outcome.ok && /^\+CME ERROR: ?(?:14|SIM busy)/i.test(outcome.error);
    if (!isBusy || waits === WAITS) return false;
    yield* pause(WAIT_MS);
  }
}
