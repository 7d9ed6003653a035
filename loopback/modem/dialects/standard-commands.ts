import { type AtCommand, integer } from '../at/command-line.js';
import type { AtAnswer, AtHandler } from '../at/interpreter.js';
import { REGISTRATIONS, simLine } from '../cellular.js';
import type { Dialect, DialectContext } from './dialect.js';

const OPERATOR = { numeric: '23415', long: 'vodafone UK', short: 'voda UK' } as const;
const LTE = 7;
const OFF_MS = 200;
const SIM_ERRORS = { pin: 11, puk: 12, absent: 10, failure: 13 } as const;

/** StandardSettings of the standard commands, lost in a restart. */
export interface StandardSettings {
  cmee: number;
  /** Mode of each registration URC; 0: off. */
  readonly registrationUrcs: Map<string, number>;
  operatorFormat: number;
}

export const newStandardSettings = (): StandardSettings => ({
  cmee: 0,
  registrationUrcs: new Map(),
  operatorFormat: 2,
});

/** Makes handlers of functions that work on the state of a modem. */
export const bindTo =
  <State>(state: State) =>
  (handle: (state: State, command: AtCommand, answer: AtAnswer) => void): AtHandler =>
  (command, answer) =>
    handle(state, command, answer);

/** Wraps a handler so that it fails while the SIM cannot be used. */
export function withSim({ cellular }: Pick<DialectContext, 'cellular'>, handler: AtHandler): AtHandler {
  return (command, answer) => {
    const { sim } = cellular.persistent;
    if (cellular.isSimBooting()) answer.cme(14);
    else if (sim !== 'ready') answer.cme(SIM_ERRORS[sim]);
    else handler(command, answer);
  };
}

/** AtHandler of a command that reads and sets one number. */
export function setting(name: string, least: number, most: number, value: { current: number }): AtHandler {
  return ({ kind, args }, answer) => {
    if (kind === 'read') answer.line(`${name}: ${value.current}`);
    if (kind === 'set') {
      const number = integer(args[0], least, most);
      if (number === undefined) return answer.cme(50);
      value.current = number;
    }
    answer.ok();
  };
}

/** AtHandler of a command that reads and sets a value that is kept over a restart. */
export function remembered({ cellular }: Pick<DialectContext, 'cellular'>, name: string, initial: string): AtHandler {
  return ({ kind, args }, answer) => {
    const { memory } = cellular.persistent;
    if (kind === 'read') answer.line(`${name}: ${memory.get(name) ?? initial}`);
    if (kind === 'set') memory.set(name, args.join(','));
    answer.ok();
  };
}

/** AtHandler of a command that is answered OK and has no effect. */
export const answerOk =
  (): AtHandler =>
  (_, answer): void =>
    answer.ok();

/** Commands of every modem (3GPP TS 27.007, V.250). */
export function standardCommands(
  context: DialectContext,
  settings: StandardSettings,
  dialect: Dialect,
  setEcho: (on: boolean) => void,
): Record<string, AtHandler> {
  const { persistent } = context.cellular;
  const { model } = dialect;
  const ignored = ['V', 'Q', 'Z', '&F', '&D', '&K', '&C', '&W', 'X', 'S', '+IPR', '+IFC', '+CMGF', '+CMGD'].concat([
    '+CPSMS',
    '+CEDRXS',
    '+ICF',
    '+CNMI',
    '+CTZR',
    '+CTZU',
    '+COPN',
  ]);
  return {
    ...Object.fromEntries(ignored.map((name) => [name, answerOk()])),
    E({ args }, answer) {
      const digit = integer(args[0], 0, 1);
      if (digit === undefined) return answer.error();
      setEcho(digit === 1);
      answer.ok();
    },
    I(_, answer) {
      for (const line of [model.manufacturer, model.name, `Revision: ${model.revision}`]) answer.line(line);
      answer.ok();
    },
    '+CGMI': answerLine(() => model.manufacturer),
    '+CGMM': answerLine(() => model.name),
    '+CGMR': answerLine(() => model.revision),
    '+CGSN': answerLine(() => persistent.imei),
    '+GSN': answerLine(() => persistent.imei),
    '+CIMI': withSim(
      context,
      answerLine(() => persistent.imsi),
    ),
    '+CMEE': setting('+CMEE', 0, 2, {
      get current() {
        return settings.cmee;
      },
      set current(mode) {
        settings.cmee = mode;
      },
    }),
    '+CPIN': (command, answer) => simPin(context, command, answer),
    '+CFUN': (command, answer) => functionality(context, dialect, command, answer),
    '+CREG': registration(context, settings),
    '+CGREG': registration(context, settings),
    '+CEREG': registration(context, settings),
    '+CSQ': withSim(
      context,
      answerLine(() => `+CSQ: ${rssi(context)},99`),
    ),
    '+CESQ': withSim(
      context,
      answerLine(() => `+CESQ: 99,99,255,255,${context.cellular.attached() ? 20 : 255},${rsrp(context)}`),
    ),
    '+COPS': withSim(context, (command, answer) => operator(context, settings, command, answer)),
    '+CGATT': withSim(context, (command, answer) => attach(context, command, answer)),
    '+CGACT': withSim(context, ({ kind }, answer) => {
      if (kind === 'read') answer.line(`+CGACT: 1,${Number(context.cellular.attached())}`);
      answer.ok();
    }),
    '+CGDCONT': (command, answer) => contextDefinition(context, command, answer),
    '+CGPADDR': withSim(context, (_, answer) => {
      const address = context.cellular.attached() ? persistent.address : '0.0.0.0';
      answer.line(`+CGPADDR: 1,${dialect.unquotedAddress ? address : `"${address}"`}`);
      answer.ok();
    }),
  };
}

/** AtHandler that answers with one line and OK. */
export const answerLine =
  (value: () => string): AtHandler =>
  (_, answer) => {
    answer.line(value());
    answer.ok();
  };

function simPin({ cellular }: DialectContext, { kind, args }: AtCommand, answer: AtAnswer) {
  const { sim } = cellular.persistent;
  if (cellular.isSimBooting()) return answer.cme(14);
  if (kind === 'set') return args[0] !== undefined && cellular.enterPin(args[0]) ? answer.ok() : answer.cme(16);
  if (sim === 'absent' || sim === 'failure') return answer.cme(SIM_ERRORS[sim]);
  answer.line(`+CPIN: ${{ ready: 'READY', pin: 'SIM PIN', puk: 'SIM PUK' }[sim]}`);
  answer.ok();
}

function functionality(
  context: DialectContext,
  { restartLevels = [], printsSimStatus = false }: Dialect,
  { kind, args }: AtCommand,
  answer: AtAnswer,
) {
  if (kind === 'read') {
    answer.line(`+CFUN: ${context.cellular.functionality()}`);
    return answer.ok();
  }
  const level = integer(args[0], 0, 127);
  if (level === undefined) return answer.cme(50);
  if (args[1] === '1' || restartLevels.includes(level)) {
    answer.ok();
    return context.restart();
  }
  if (![0, 1, 4].includes(level)) return answer.cme(50);
  answer.later(OFF_MS, () => {
    context.cellular.setFunctionality(level);
    answer.ok();
    if (printsSimStatus) context.urc(level === 1 ? simLine(context.cellular.persistent) : '+CPIN: NOT READY');
  });
}

/** Returns the part of a registration line after the number of the state. */
export const registrationDetails = (mode: number, registered: boolean): string =>
  mode === 2 && registered ? `,"1A2B","01C3D4E5",${LTE}` : '';

function registration({ cellular }: DialectContext, settings: StandardSettings): AtHandler {
  return ({ name, kind, args }, answer) => {
    if (kind === 'set') {
      const mode = integer(args[0], 0, 5);
      if (mode === undefined) return answer.cme(50);
      settings.registrationUrcs.set(name, mode);
    } else if (kind === 'read') {
      const mode = settings.registrationUrcs.get(name) ?? 0;
      const state = cellular.registration();
      const details = registrationDetails(mode, state === 'home' || state === 'roaming');
      answer.line(`${name}: ${mode},${REGISTRATIONS.indexOf(state)}${details}`);
    }
    answer.ok();
  };
}

/** 27.007, 8.5: 2 dB a step from −113 dBm. */
function rssi({ cellular }: DialectContext): number {
  const { dbm } = cellular.persistent;
  return dbm === undefined || cellular.functionality() !== 1 ? 99 : clamp(Math.round((dbm + 113) / 2), 0, 31);
}

/** 27.007, 8.69: 1 dB a step from −141 dBm; a reference signal is about 26 dB below the whole. */
function rsrp({ cellular }: DialectContext): number {
  const { dbm } = cellular.persistent;
  return dbm === undefined || cellular.functionality() !== 1 ? 255 : clamp(Math.round(dbm - 26 + 141), 0, 97);
}

const clamp = (value: number, least: number, most: number) => Math.min(most, Math.max(least, value));

function operator(
  { cellular }: DialectContext,
  settings: StandardSettings,
  { kind, args }: AtCommand,
  answer: AtAnswer,
): void {
  const registered = ['home', 'roaming'].includes(cellular.registration());
  const { numeric, long, short } = OPERATOR;
  if (kind === 'read') {
    const name = [long, short, numeric][settings.operatorFormat];
    answer.line(registered ? `+COPS: 0,${settings.operatorFormat},"${name}",${LTE}` : '+COPS: 0');
  } else if (kind === 'test') {
    answer.line(`+COPS: (2,"${long}","${short}","${numeric}",${LTE}),,(0-4),(0-2)`);
  } else if (args[0] === '3') {
    settings.operatorFormat = integer(args[1], 0, 2) ?? 0;
  }
  answer.ok();
}

function attach({ cellular }: DialectContext, { kind, args }: AtCommand, answer: AtAnswer) {
  if (kind === 'read') answer.line(`+CGATT: ${Number(cellular.attached())}`);
  if (kind === 'set') {
    const wanted = integer(args[0], 0, 1);
    if (wanted === undefined) return answer.cme(50);
    cellular.setAttach(wanted === 1);
  }
  answer.ok();
}

function contextDefinition({ cellular }: DialectContext, { kind, args }: AtCommand, answer: AtAnswer) {
  const { contexts } = cellular.persistent;
  if (kind === 'read') {
    for (const [cid, { type, apn }] of contexts) answer.line(`+CGDCONT: ${cid},"${type}","${apn}","0.0.0.0",0,0`);
  }
  if (kind === 'set') {
    const cid = integer(args[0], 1, 15);
    if (cid === undefined) return answer.cme(50);
    if (args.length === 1) contexts.delete(cid);
    else contexts.set(cid, { type: args[1] ?? 'IP', apn: args[2] ?? '' });
  }
  answer.ok();
}
