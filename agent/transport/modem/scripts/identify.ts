import { attempt, ModemFaultError, mustSucceed, pause, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect } from '../dialects/dialect.js';

/** Attempts of `AT`: a UART with automatic baud rate needs several. */
const SYNCS = 10;
const AIRPLANE_MS = 3000;

/** The identity of a modem. */
export interface ModemIdentity {
  readonly model: string;
  readonly firmware: string;
  readonly imei: string;
}

/**
 * Finds out whether a modem answers, and reads its model, firmware and IMEI. It needs no dialect.
 *
 * @throws ModemFaultError `silent`
 */
export function* identify(): Script<ModemIdentity> {
  yield* synchronise();
  // The first answer still contains the echo.
  yield* mustSucceed('silent', 'ATE0');
  yield* attempt('AT+CMEE=1');
  return { model: yield* ask('AT+CGMM'), firmware: yield* ask('AT+CGMR'), imei: yield* ask('AT+CGSN') };
}

function* synchronise(): Script<void> {
  for (let tries = 0; tries < SYNCS; tries++) {
    if ((yield* attempt('AT', TIMEOUT.at, { once: true })).ok) return;
  }
  throw new ModemFaultError('silent', `no answer to AT, ${SYNCS} times`);
}

/** Reads an identity, which comes bare or after a name: `+CGMR: …`. */
function* ask(command: string): Script<string> {
  const outcome = yield* attempt(command);
  return (outcome.lines[0] ?? '')
    .replace(/^[+*^#%][A-Z]+: ?/, '')
    .replaceAll('"', '')
    .trim();
}

/** Reads the ICCID, which comes bare or after a name, on some modems with a filler at its end. */
export function* readIccid({ iccid }: Pick<Dialect, 'iccid'>): Script<string | undefined> {
  const outcome = yield* attempt(iccid);
  return outcome.lines.map((line) => /(?:^|[\s:"])(\d{18,20})F?"?$/i.exec(line)?.[1]).find((one) => one !== undefined);
}

/** Switches the radio off. `AT+CFUN=0` would cut the SIM's power too, and lock a SIM that was unlocked by hand. */
export function* disableRadio({ radioTimeoutMs }: Dialect): Script<void> {
  yield* attempt('AT+CFUN=4', radioTimeoutMs ?? TIMEOUT.radio);
  yield* pause(AIRPLANE_MS);
}

/** Switches the radio on. @throws ModemFaultError with this fault when the modem refuses */
export function* enableRadio({ radioTimeoutMs }: Dialect, fault: 'silent' | 'refused' = 'silent'): Script<void> {
  yield* mustSucceed(fault, 'AT+CFUN=1', radioTimeoutMs ?? TIMEOUT.radio);
}

/** Switches the radio off and on. All sockets are lost. */
export function* cycleRadio(dialect: Dialect): Script<void> {
  yield* disableRadio(dialect);
  yield* enableRadio(dialect);
}

/** Resets the modem. Its port may disappear, and its settings are lost. */
export function* reset(dialect: Dialect): Script<void> {
  yield* attempt(dialect.reset, dialect.radioTimeoutMs ?? TIMEOUT.radio, { once: true });
}
