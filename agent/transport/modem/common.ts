import type { Dialect } from './dialect.js';
import { isRegistered, type Registration, registration } from './health.js';
import { answerOf, attempt, ModemTrouble, must, pause, type Script, TIMEOUT } from './script.js';

/** A UART that finds its speed by itself needs several. */
const SYNCS = 10;
/** A SIM that wakes up reports failures for a while. */
const SIM_PATIENCE_MS = 15_000;
const SIM_RETRY_MS = 1000;
const REGISTRATION_POLL_MS = 2000;
/** The recovery ladder takes over then. */
export const REGISTRATION_PATIENCE_MS = 180_000;
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
 * @throws ModemTrouble `silent`
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
  throw new ModemTrouble('silent', `no answer to ${SYNCS} times AT`);
}

/** Identities come bare, or behind a name: `+CGMR: …`. */
function* ask(command: string): Script<string> {
  const outcome = yield* attempt(command);
  return (outcome.lines[0] ?? '')
    .replace(/^[+*^#%][A-Z]+: ?/, '')
    .replaceAll('"', '')
    .trim();
}

/** What the SIM and the network gave. */
export interface Attachment {
  readonly iccid?: string;
  readonly registration: Registration;
}

/**
 * Brings a modem from whatever state it is in to being registered and attached; its context is the dialect's to
 * activate.
 *
 * @throws ModemTrouble `sim`, `registration`, `refused`
 */
export function* bringUp(dialect: Dialect, apn: string): Script<Attachment> {
  yield* waitForSim();
  const iccid = yield* readIccid(dialect);
  const changed = [yield* setApn(apn), yield* applyRadioSettings(dialect)].includes(true);
  const radio = answerOf(yield* attempt('AT+CFUN?'), '+CFUN');
  // Both take effect at the next attach only.
  if (changed && radio?.startsWith('1')) yield* leaveAir(dialect);
  if (changed || !radio?.startsWith('1')) yield* must('refused', 'AT+CFUN=1', TIMEOUT.radio);
  const state = yield* waitForRegistration();
  yield* attach();
  return { ...(iccid !== undefined && { iccid }), registration: state };
}

function* waitForSim(): Script<void> {
  for (let waited = 0; ; waited += SIM_RETRY_MS) {
    const outcome = yield* attempt('AT+CPIN?');
    const state = answerOf(outcome, '+CPIN');
    if (state === 'READY') return;
    if (state !== undefined && state !== 'NOT READY') throw new ModemTrouble('sim', `the SIM asks for ${state}`);
    const error = outcome.ok ? 'not ready' : outcome.error;
    // 11: it asks for its PIN. Others go away while the SIM wakes up, or never.
    if (/^\+CME ERROR: ?(?:11|SIM PIN)/.test(error)) throw new ModemTrouble('sim', 'the SIM asks for its PIN');
    if (waited >= SIM_PATIENCE_MS) throw new ModemTrouble('sim', describeSimError(error));
    yield* pause(SIM_RETRY_MS);
  }
}

/** 3GPP TS 27.007 §9.2. */
function describeSimError(error: string): string {
  const number = /^\+CME ERROR: ?(\d+)/.exec(error)?.[1];
  const meaning = { '10': 'there is no SIM', '13': 'the SIM fails', '14': 'the SIM is busy', '15': 'the SIM is wrong' };
  const known = Object.entries(meaning).find(([code]) => code === number)?.[1];
  return known === undefined ? error : `${known} (${error})`;
}

/** Bare, or behind a name; some print a filler at its end. */
export function* readIccid({ iccid }: Pick<Dialect, 'iccid'>): Script<string | undefined> {
  const outcome = yield* attempt(iccid);
  return outcome.lines.map((line) => /(?:^|[\s:"])(\d{18,20})F?"?$/i.exec(line)?.[1]).find((one) => one !== undefined);
}

/** @returns whether it was another */
function* setApn(apn: string): Script<boolean> {
  const contexts = yield* attempt('AT+CGDCONT?');
  const current = contexts.lines.map((line) => /^\+CGDCONT: ?1, ?"([^"]*)", ?"([^"]*)"/.exec(line)).find((one) => one);
  // Some networks' names come back with their operator's code behind them.
  const name = current?.[2]?.toLowerCase();
  if (current?.[1] === 'IP' && (name === apn || name?.startsWith(`${apn}.mnc`))) return false;
  yield* must('refused', `AT+CGDCONT=1,"IP","${apn}"`);
  return true;
}

/** @returns whether one changed that needs the radio to start anew */
function* applyRadioSettings({ radio }: Dialect): Script<boolean> {
  let changed = false;
  // A device that sleeps cannot be reached.
  yield* attempt('AT+CPSMS=0');
  yield* attempt('AT+CEDRXS=0');
  for (const { command, unless } of radio) {
    if (unless !== undefined && (yield* isAlready(unless))) continue;
    const outcome = yield* attempt(command);
    if (outcome.ok && unless !== undefined) changed = true;
  }
  return changed;
}

function* isAlready({ ask, answer }: { readonly ask: string; readonly answer: string }): Script<boolean> {
  const name = ask.slice(2, -1);
  const value = answerOf(yield* attempt(ask), name);
  return value === answer || value?.startsWith(`${answer},`) === true;
}

function* waitForRegistration(): Script<Registration> {
  for (let waited = 0; ; waited += REGISTRATION_POLL_MS) {
    const state = yield* registration();
    if (isRegistered(state)) return state;
    if (waited >= REGISTRATION_PATIENCE_MS) throw new ModemTrouble('registration', `not registered: ${state}`);
    yield* pause(REGISTRATION_POLL_MS);
  }
}

function* attach(): Script<void> {
  const state = answerOf(yield* attempt('AT+CGATT?'), '+CGATT');
  if (state !== undefined && !state.startsWith('1')) yield* must('registration', 'AT+CGATT=1', TIMEOUT.operator);
}

function* leaveAir({ airplane }: Dialect): Script<void> {
  yield* attempt(airplane, TIMEOUT.radio);
  yield* pause(AIRPLANE_MS);
}

/** Off the air and on it again. All sockets are lost. */
export function* cycleRadio(dialect: Dialect): Script<void> {
  yield* leaveAir(dialect);
  yield* must('silent', 'AT+CFUN=1', TIMEOUT.radio);
}

/** The modem starts anew; its port may vanish, and its settings are gone. */
export function* reset(dialect: Dialect): Script<void> {
  yield* attempt(dialect.reset, TIMEOUT.radio, { once: true });
}
