import { isSupersimError, messageOf, type SupersimError } from '../../../../shared/errors.js';
import type { FileHolder } from '../../../base/file-holders.js';
import type { DialectName } from '../../../config/dialect-names.js';
import { answerOf, attempt, type Script } from '../at/script.js';
import { DIALECTS, dialectOf } from '../dialects/index.js';
import { portHolders } from '../port/port-holders.js';
import { checkHealth, type Health } from '../scripts/health.js';
import { identify, readIccid } from '../scripts/identify.js';
import { openPortSession } from './port-session.js';

/** Time-out of an answer to `AT`. */
const PROBE_TIMEOUT_MS = 300;
/** Attempts of `AT`: a UART with automatic baud rate needs several. */
const PROBES = 3;
/** Enough to tell the kind of a port. */
const MAX_RECEIVED_BYTES = 4096;
/** For a modem whose dialect is unknown. */
const ICCID_COMMAND = 'AT+CCID';
const HDLC_FLAG = 0x7e;

/** The kind of a port. */
export type PortKind =
  | 'at'
  /** Positions of a satellite receiver. */
  | 'nmea'
  /** Frames of the chip maker's diagnostic protocol. */
  | 'diag'
  /** Other output, such as a login console's. */
  | 'other'
  | 'silent'
  /** It cannot be opened; the error says why. */
  | 'unusable';

export interface ProbedPort {
  readonly path: string;
  readonly kind: PortKind;
  readonly error?: SupersimError;
  /** The programs that use it. */
  readonly holders?: readonly FileHolder[];
}

/** SIM and network of a modem. */
export interface ProbedNetwork extends Health {
  /** `READY`, what the SIM asks for, or its error. */
  readonly sim: string;
  /** Access point name of its first context. */
  readonly apn?: string;
}

/** A modem with its SIM and network. */
export interface ProbedModem extends ProbedNetwork {
  readonly path: string;
  readonly model: string;
  readonly firmware: string;
  readonly imei: string;
  readonly dialect?: DialectName;
  /** Why the agent does not support it. */
  readonly unsupported?: string;
  readonly iccid?: string;
}

export interface PortProbe {
  readonly ports: readonly ProbedPort[];
  /** The modem behind the first port that takes AT commands. */
  readonly modem?: ProbedModem;
}

/** Probes ports one after the other, and inspects the first modem found. */
export async function probePorts(paths: readonly string[], baudRate: number): Promise<PortProbe> {
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
  const received: Buffer[] = [];
  let size = 0;
  try {
    const session = await openPortSession(
      { path, baudRate, flowControl: 'none' },
      {
        bytes(bytes) {
          if (size < MAX_RECEIVED_BYTES) received.push(bytes);
          size += bytes.length;
        },
      },
    );
    try {
      if (!(await session.run(probeAt()))) return { port: { path, kind: kindOf(Buffer.concat(received)) } };
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

/** Asks whether something on this port answers AT commands. */
export function* probeAt(): Script<boolean> {
  for (let tries = 0; tries < PROBES; tries++) {
    const outcome = yield* attempt('AT', PROBE_TIMEOUT_MS, { once: true });
    if (outcome.ok || outcome.failure === 'refused') return true;
  }
  return false;
}

/** Tells the kind of a port that does not answer AT by what it sent meanwhile. */
function kindOf(received: Buffer): PortKind {
  if (received.length === 0) return 'silent';
  if (/\$G[A-Z]{4},/.test(received.toString('latin1'))) return 'nmea';
  return received.includes(HDLC_FLAG) ? 'diag' : 'other';
}

function* inspect(path: string): Script<ProbedModem> {
  const identity = yield* identify();
  const support = dialectFor(identity.model);
  const iccid = yield* readIccid(support.dialect === undefined ? { iccid: ICCID_COMMAND } : DIALECTS[support.dialect]);
  return { path, ...identity, ...support, ...(iccid !== undefined && { iccid }), ...(yield* inspectNetwork()) };
}

/** Reads the state of SIM and network with commands of every dialect that change nothing. */
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
