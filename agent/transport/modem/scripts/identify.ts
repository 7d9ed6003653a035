import { attempt, ModemFaultError, must, pause, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect } from '../dialects/dialect.js';

/** A UART that finds its speed by itself needs several. */
const SYNCS = 10;
const AIRPLANE_MS = 3000;

/** What a modem is. */
export interface Identity {
  readonly model: string;
  readonly firmware: string;
  readonly imei: string;
}

/**
 * Finds out whether a modem answers, and which it is. No dialect is needed for it.
 *
 * @throws ModemFaultError `silent`
 */
export function* identify(): Script<Identity> {
  yield* synchronise();
  // The first answer still carries the echo.
  yield* must('silent', 'ATE0');
  yield* attempt('AT+CMEE=1');
  return { model: yield* ask('AT+CGMM'), firmware: yield* ask('AT+CGMR'), imei: yield* ask('AT+CGSN') };
}

function* synchronise(): Script<void> {
  for (let tries = 0; tries < SYNCS; tries++) {
    if ((yield* attempt('AT', TIMEOUT.at, { once: true })).ok) return;
  }
  throw new ModemFaultError('silent', `no answer to ${SYNCS} times AT`);
}

/** Identities come bare, or behind a name: `+CGMR: …`. */
function* ask(command: string): Script<string> {
  const outcome = yield* attempt(command);
  return (outcome.lines[0] ?? '')
    .replace(/^[+*^#%][A-Z]+: ?/, '')
    .replaceAll('"', '')
    .trim();
}

/** Bare, or behind a name; some print a filler at its end. */
export function* readIccid({ iccid }: Pick<Dialect, 'iccid'>): Script<string | undefined> {
  const outcome = yield* attempt(iccid);
  return outcome.lines.map((line) => /(?:^|[\s:"])(\d{18,20})F?"?$/i.exec(line)?.[1]).find((one) => one !== undefined);
}

/** Not by `AT+CFUN=0`, which takes the SIM's power too: one that somebody has unlocked by hand would be locked again. */
export function* disableRadio({ radioTimeoutMs }: Dialect): Script<void> {
  yield* attempt('AT+CFUN=4', radioTimeoutMs ?? TIMEOUT.radio);
  yield* pause(AIRPLANE_MS);
}

/** @throws ModemFaultError `silent`, or what it is told to */
export function* enableRadio({ radioTimeoutMs }: Dialect, trouble: 'silent' | 'refused' = 'silent'): Script<void> {
  yield* must(trouble, 'AT+CFUN=1', radioTimeoutMs ?? TIMEOUT.radio);
}

/** Off the air and on it again. All sockets are lost. */
export function* cycleRadio(dialect: Dialect): Script<void> {
  yield* disableRadio(dialect);
  yield* enableRadio(dialect);
}

/** The modem starts anew; its port may vanish, and its settings are gone. */
export function* reset(dialect: Dialect): Script<void> {
  yield* attempt(dialect.reset, dialect.radioTimeoutMs ?? TIMEOUT.radio, { once: true });
}
