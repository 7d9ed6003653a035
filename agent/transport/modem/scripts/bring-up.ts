import { answerOf, attempt, ModemFaultError, must, pause, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect, FlowControl, Setting } from '../dialects/dialect.js';
import { isRegistered, type Registration, registration } from './health.js';
import { disableRadio, enableRadio, readIccid } from './identify.js';
import { waitForSim } from './sim.js';

const REGISTRATION_POLL_MS = 2000;
/** The recovery ladder takes over then. */
export const REGISTRATION_PATIENCE_MS = 180_000;
const FLOW: Readonly<Record<FlowControl, string>> = { none: 'AT+IFC=0,0', rtscts: 'AT+IFC=2,2' };

/** Whether the modem may be taken off the air for its settings: whatever else it carries is cut, and the SIM attaches anew. */
export interface RadioPermit {
  allowed(): boolean;
  /** It has been left. */
  used(): void;
}

export interface BringUpOptions {
  readonly apn: string;
  readonly flowControl: FlowControl;
  readonly permit: RadioPermit;
}

/** What the SIM and the network gave. */
export interface Attachment {
  readonly iccid?: string;
  readonly registration: Registration;
  /** Settings that were left as they are, as the radio may not be cycled for them now. */
  readonly unset: readonly string[];
}

/**
 * Brings a modem from whatever state it is in to being registered and attached; its context is the dialect's to
 * activate.
 *
 * @throws ModemFaultError `sim`, `registration`, `refused`
 */
export function* bringUp(dialect: Dialect, { apn, flowControl, permit }: BringUpOptions): Script<Attachment> {
  // A port that keeps another discipline than its modem loses bytes.
  yield* attempt((dialect.flow ?? FLOW)[flowControl]);
  yield* waitForSim();
  const iccid = yield* readIccid(dialect);
  // A device that sleeps cannot be reached.
  yield* attempt('AT+CPSMS=0');
  yield* attempt('AT+CEDRXS=0');
  for (;;) {
    const unset = yield* settle(dialect, apn, permit);
    const state = yield* waitForRegistration(() => unset.length > 0 && permit.allowed());
    if (state === undefined) continue;
    yield* attach();
    return { ...(iccid !== undefined && { iccid }), registration: state, unset };
  }
}

/**
 * Sets what takes effect at the next attach only, and has the modem attach anew where something was changed.
 *
 * @returns what would have to be set, and may not
 */
function* settle(dialect: Dialect, apn: string, permit: RadioPermit): Script<readonly string[]> {
  const context = yield* contextCommand(apn);
  const radio = yield* applyRadioSettings(dialect);
  const wanted = [...(context === undefined ? [] : [context]), ...radio];
  const isOnAir = answerOf(yield* attempt('AT+CFUN?'), '+CFUN')?.startsWith('1') === true;
  if (isOnAir && wanted.length > 0 && !permit.allowed()) return wanted;
  if (context !== undefined) yield* must('refused', context);
  let changed = context !== undefined;
  // A modem that refuses one does without.
  for (const command of radio) changed = (yield* attempt(command)).ok || changed;
  if (isOnAir && !changed) return [];
  if (isOnAir) {
    permit.used();
    yield* disableRadio(dialect);
  }
  yield* enableRadio(dialect, 'refused');
  yield* waitForSim();
  return [];
}

/** The command that sets the APN; undefined where it is set already. */
function* contextCommand(apn: string): Script<string | undefined> {
  const contexts = yield* attempt('AT+CGDCONT?');
  const current = contexts.lines.map((line) => /^\+CGDCONT: ?1, ?"([^"]*)", ?"([^"]*)"/.exec(line)).find((one) => one);
  const wanted = apn.toLowerCase();
  // Some networks' names come back with their operator's code behind them.
  const name = current?.[2]?.toLowerCase();
  const isSet = current?.[1] === 'IP' && (name === wanted || name?.startsWith(`${wanted}.mnc`) === true);
  return isSet ? undefined : `AT+CGDCONT=1,"IP","${apn}"`;
}

/** @returns those that need the radio to start anew, and are not as they should be */
function* applyRadioSettings({ radio }: Dialect): Script<readonly string[]> {
  const wanted: string[] = [];
  for (const { command, unless } of radio) {
    if (unless === undefined) yield* attempt(command);
    else if (!(yield* isAlready(unless))) wanted.push(command);
  }
  return wanted;
}

function* isAlready({ ask, answer }: NonNullable<Setting['unless']>): Script<boolean> {
  const name = ask.slice(2, -1);
  const value = answerOf(yield* attempt(ask), name);
  return value === answer || value?.startsWith(`${answer},`) === true;
}

/** @returns undefined when it is stopped */
function* waitForRegistration(stop: () => boolean): Script<Registration | undefined> {
  for (let waited = 0; ; waited += REGISTRATION_POLL_MS) {
    const state = yield* registration();
    if (isRegistered(state)) return state;
    if (stop()) return undefined;
    if (waited >= REGISTRATION_PATIENCE_MS) throw new ModemFaultError('registration', `not registered: ${state}`);
    yield* pause(REGISTRATION_POLL_MS);
  }
}

function* attach(): Script<void> {
  const state = answerOf(yield* attempt('AT+CGATT?'), '+CGATT');
  if (state !== undefined && !state.startsWith('1')) yield* must('registration', 'AT+CGATT=1', TIMEOUT.operator);
}
