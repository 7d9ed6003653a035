import { answerOf, attempt, ModemFaultError, mustSucceed, pause, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect, FlowControl, RadioSetting } from '../dialects/dialect.js';
import { isRegistered, type RegistrationState, readRegistration } from './health.js';
import { disableRadio, enableRadio, readIccid } from './identify.js';
import { waitForSim } from './sim.js';

const REGISTRATION_POLL_MS = 2000;
/** How long a bring-up waits for the registration; then the recovery ladder takes over. */
export const REGISTRATION_PATIENCE_MS = 180_000;
const FLOW: Readonly<Record<FlowControl, string>> = { none: 'AT+IFC=0,0', rtscts: 'AT+IFC=2,2' };

/**
 * Decides whether the radio may be switched off and on for settings, which cuts other traffic and makes the SIM attach
 * again.
 */
export interface RadioPermit {
  allowed(): boolean;
  /** The radio is about to be switched off. */
  used(): void;
}

export interface BringUpOptions {
  readonly apn: string;
  readonly flowControl: FlowControl;
  readonly permit: RadioPermit;
}

/** The result of a bring-up. */
export interface Attachment {
  readonly iccid?: string;
  readonly registration: RegistrationState;
  /** Commands of settings that were not made, as the radio may not be switched off for them now. */
  readonly deferred: readonly string[];
}

/**
 * Brings a modem from any state to being registered and attached. The dialect activates the context afterwards.
 *
 * @throws ModemFaultError `sim`, `registration`, `refused`
 */
export function* bringUp(dialect: Dialect, { apn, flowControl, permit }: BringUpOptions): Script<Attachment> {
  // Port and modem must use the same flow control, or bytes are lost.
  yield* attempt((dialect.flow ?? FLOW)[flowControl]);
  yield* waitForSim();
  const iccid = yield* readIccid(dialect);
  // A modem that sleeps cannot be reached.
  yield* attempt('AT+CPSMS=0');
  yield* attempt('AT+CEDRXS=0');
  for (;;) {
    const deferred = yield* applySettings(dialect, apn, permit);
    const state = yield* waitForRegistration(() => deferred.length > 0 && permit.allowed());
    if (state === undefined) continue;
    yield* attach();
    return { ...(iccid !== undefined && { iccid }), registration: state, deferred };
  }
}

/**
 * Makes the settings that take effect at the next attach, and makes the modem attach again if one was changed.
 *
 * @returns the commands that were deferred
 */
function* applySettings(dialect: Dialect, apn: string, permit: RadioPermit): Script<readonly string[]> {
  const context = yield* contextCommand(apn);
  const radio = yield* applyRadioSettings(dialect);
  const wanted = [...(context === undefined ? [] : [context]), ...radio];
  const isRadioOn = answerOf(yield* attempt('AT+CFUN?'), '+CFUN')?.startsWith('1') === true;
  if (isRadioOn && wanted.length > 0 && !permit.allowed()) return wanted;
  if (context !== undefined) yield* mustSucceed('refused', context);
  let changed = context !== undefined;
  // A modem may refuse one: the bring-up goes on without it.
  for (const command of radio) changed = (yield* attempt(command)).ok || changed;
  if (isRadioOn && !changed) return [];
  if (isRadioOn) {
    permit.used();
    yield* disableRadio(dialect);
  }
  yield* enableRadio(dialect, 'refused');
  yield* waitForSim();
  return [];
}

/** Returns the command that sets the APN; undefined where it is set already. */
function* contextCommand(apn: string): Script<string | undefined> {
  const contexts = yield* attempt('AT+CGDCONT?');
  const current = contexts.lines.map((line) => /^\+CGDCONT: ?1, ?"([^"]*)", ?"([^"]*)"/.exec(line)).find((one) => one);
  const wanted = apn.toLowerCase();
  // Some networks report the name followed by the operator's code.
  const name = current?.[2]?.toLowerCase();
  const isSet = current?.[1] === 'IP' && (name === wanted || name?.startsWith(`${wanted}.mnc`) === true);
  return isSet ? undefined : `AT+CGDCONT=1,"IP","${apn}"`;
}

/** Makes the radio settings. @returns the commands that are needed and take effect only when the radio restarts */
function* applyRadioSettings({ radio }: Dialect): Script<readonly string[]> {
  const wanted: string[] = [];
  for (const { command, unless } of radio) {
    if (unless === undefined) yield* attempt(command);
    else if (!(yield* isAlready(unless))) wanted.push(command);
  }
  return wanted;
}

function* isAlready({ ask, answer }: NonNullable<RadioSetting['unless']>): Script<boolean> {
  const name = ask.slice(2, -1);
  const value = answerOf(yield* attempt(ask), name);
  return value === answer || value?.startsWith(`${answer},`) === true;
}

/** @returns undefined when `stop` returned true */
function* waitForRegistration(stop: () => boolean): Script<RegistrationState | undefined> {
  for (let waited = 0; ; waited += REGISTRATION_POLL_MS) {
    const state = yield* readRegistration();
    if (isRegistered(state)) return state;
    if (stop()) return undefined;
    if (waited >= REGISTRATION_PATIENCE_MS) throw new ModemFaultError('registration', `not registered: ${state}`);
    yield* pause(REGISTRATION_POLL_MS);
  }
}

function* attach(): Script<void> {
  const state = answerOf(yield* attempt('AT+CGATT?'), '+CGATT');
  if (state !== undefined && !state.startsWith('1')) yield* mustSucceed('registration', 'AT+CGATT=1', TIMEOUT.operator);
}
