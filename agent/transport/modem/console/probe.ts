import { isSupersimError, messageOf, type SupersimError } from '../../../../shared/errors.js';
import type { DialectName } from '../../../config/dialect-names.js';
import { answerOf, attempt, type Script } from '../at/script.js';
import { DIALECTS, dialectOf } from '../dialects/index.js';
import { type PortHolder, portHolders } from '../port/port-holders.js';
import { checkHealth, type Health } from '../scripts/health.js';
import { identify, readIccid } from '../scripts/identify.js';
import { openPortSession } from './port-session.js';

/** How long an answer to `AT` is waited for. */
const KNOCK_MS = 300;
/** A UART that finds its speed by itself needs several. */
const KNOCKS = 3;
/** Enough to tell what a port is. */
const MAX_HEARD_BYTES = 4096;
/** Of a modem whose dialect is not known. */
const ICCID_COMMAND = 'AT+CCID';
const HDLC_FLAG = 0x7e;

/** What a port turned out to be. */
export type PortKind =
  | 'at'
  /** Positions, once a second or so. */
  | 'nmea'
  /** Frames of the chip maker's diagnosis. */
  | 'diag'
  /** It says something else, such as a login console. */
  | 'other'
  | 'silent'
  /** It could not be opened; the error says why. */
  | 'unusable';

export interface ProbedPort {
  readonly path: string;
  readonly kind: PortKind;
  readonly error?: SupersimError;
  /** Who has it, of one that is in use. */
  readonly holders?: readonly PortHolder[];
}

/** What a modem says of its SIM and of its network. */
export interface ProbedNetwork extends Health {
  /** `READY`, what the SIM asks for, or what is wrong with it. */
  readonly sim: string;
  /** Access point name of its first context. */
  readonly apn?: string;
}

/** What a modem says of itself, of its SIM and of its network. */
export interface ProbedModem extends ProbedNetwork {
  readonly path: string;
  readonly model: string;
  readonly firmware: string;
  readonly imei: string;
  readonly dialect?: DialectName;
  /** Why the agent cannot use it. */
  readonly unsupported?: string;
  readonly iccid?: string;
}

export interface Probe {
  readonly ports: readonly ProbedPort[];
  /** The one behind the first port that takes AT commands. */
  readonly modem?: ProbedModem;
}

/** Looks at ports, one after the other, and asks the first modem that is there. */
export async function probePorts(paths: readonly string[], baudRate: number): Promise<Probe> {
  const ports: ProbedPort[] = [];
  let modem: ProbedModem | undefined;
  for (const path of paths) {
    const found = await probePort(path, baudRate, modem === undefined);
    ports.push(found.port);
    modem ??= found.modem;
  }
  return { ports, ...(modem !== undefined && { modem }) };
}

interface Found {
  readonly port: ProbedPort;
  readonly modem?: ProbedModem | undefined;
}

async function probePort(path: string, baudRate: number, isWanted: boolean): Promise<Found> {
  const heard: Buffer[] = [];
  let size = 0;
  try {
    const session = await openPortSession(
      { path, baudRate, flowControl: 'none' },
      {
        bytes(bytes) {
          if (size < MAX_HEARD_BYTES) heard.push(bytes);
          size += bytes.length;
        },
      },
    );
    try {
      if (!(await session.run(knock()))) return { port: { path, kind: kindOf(Buffer.concat(heard)) } };
      const modem = isWanted ? await session.run(inspect(path)) : undefined;
      return { port: { path, kind: 'at' }, modem };
    } finally {
      await session.close();
    }
  } catch (error) {
    return { port: await unusable(path, error) };
  }
}

async function unusable(path: string, error: unknown): Promise<ProbedPort> {
  if (!isSupersimError(error)) throw error;
  const holders = isSupersimError(error, 'modem-port-busy') ? { holders: await portHolders(path) } : {};
  return { path, kind: 'unusable', error, ...holders };
}

/** Whether something takes AT commands here. */
export function* knock(): Script<boolean> {
  for (let tries = 0; tries < KNOCKS; tries++) {
    const outcome = yield* attempt('AT', KNOCK_MS, { once: true });
    if (outcome.ok || outcome.failure === 'refused') return true;
  }
  return false;
}

/** What a port is that does not answer AT, by what it said meanwhile. */
function kindOf(heard: Buffer): PortKind {
  if (heard.length === 0) return 'silent';
  if (/\$G[A-Z]{4},/.test(heard.toString('latin1'))) return 'nmea';
  return heard.includes(HDLC_FLAG) ? 'diag' : 'other';
}

function* inspect(path: string): Script<ProbedModem> {
  const identity = yield* identify();
  const spoken = dialectFor(identity.model);
  const iccid = yield* readIccid(spoken.dialect === undefined ? { iccid: ICCID_COMMAND } : DIALECTS[spoken.dialect]);
  return { path, ...identity, ...spoken, ...(iccid !== undefined && { iccid }), ...(yield* inspectNetwork()) };
}

/** Asks for what can be asked at any time, in any dialect, and changes nothing. */
export function* inspectNetwork(): Script<ProbedNetwork> {
  const pin = yield* attempt('AT+CPIN?');
  const sim = answerOf(pin, '+CPIN') ?? (pin.ok ? 'unknown' : pin.error);
  const contexts = yield* attempt('AT+CGDCONT?');
  const apn = contexts.lines.map((line) => /^\+CGDCONT: ?1, ?"[^"]*", ?"([^"]*)"/.exec(line)?.[1]).find(Boolean);
  return { sim, ...(apn !== undefined && { apn }), ...(yield* checkHealth()) };
}

function dialectFor(model: string): { readonly dialect?: DialectName; readonly unsupported?: string } {
  try {
    return { dialect: dialectOf(model) };
  } catch (error) {
    return { unsupported: messageOf(error) };
  }
}
