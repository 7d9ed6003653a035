import * as z from 'zod';
import { integer } from '../../at/command-line.js';
import type { AtAnswer } from '../../at/interpreter.js';
import type { DialectContext } from '../dialect.js';
import { createSockets, type ModemSocket, type ModemSockets } from '../sockets.js';
import type { QuectelErrorCode } from './errors.js';

export const LAST_ID = 11;
/** The interface that this tty is. */
export const OWN_PORT = 'usbat';
/** Interfaces that `AT+QURCCFG` can send URCs to. */
export const URC_PORTS = [OWN_PORT, 'usbmodem', 'uart1', 'all'];

/** StandardSettings of `AT+QICFG` that only the EC200U has. */
export const EC200U_SETTINGS = new Set([
  'sendinfo',
  'formatcfg',
  'close/mode',
  'qisend/timeout',
  'udp/readmode',
  'udp/sendmode',
]);

/** StandardSettings of `AT+QICFG` after power-on. */
const DEFAULT_SETTINGS: readonly (readonly [string, string])[] = [
  ['dataformat', '0,0'],
  ['viewmode', '0'],
  ['recvind', '0'],
  ['transpktsize', '1024'],
  ['transwaittm', '2'],
  ['sendinfo', '0'],
  ['formatcfg', '0'],
  ['close/mode', '0'],
  // Seconds that the host may take for the bytes after the prompt.
  ['qisend/timeout', '5'],
  ['udp/readmode', '0'],
  ['udp/sendmode', '0'],
];

export const quectelQuirks = z.strictObject({
  model: z
    .enum(['BG96', 'BG95-M3', 'EC25', 'EG25', 'EC200U'])
    .default('BG96')
    .describe(
      'The model that it reports. The EC200U has a prompt without a space, a 5 s input time-out, and sendinfo.',
    ),
  trailer: z
    .enum(['blank-line', 'plain'])
    .default('blank-line')
    .describe('Whether there is a blank line between the data of AT+QIRD and OK.'),
  urcSpace: z.enum(['yes', 'no']).default('yes').describe('Whether a space follows the colon of +QIURC.'),
});

export type QuectelQuirks = z.infer<typeof quectelQuirks>;

/** Properties of an open socket beside those that every dialect's sockets have. */
export interface QuectelSocket {
  /** Opened as `UDP SERVICE`: it takes datagrams of every source. */
  readonly service: boolean;
  /** Whether datagrams wait for `AT+QIRD`, or are printed with their URC. */
  readonly mode: 'buffer' | 'push';
  /** Bytes that the host has read. */
  read: number;
}

/** State of a Quectel modem between two restarts. */
export interface QuectelState {
  readonly context: DialectContext;
  readonly quirks: QuectelQuirks;
  readonly isEc200u: boolean;
  readonly sockets: ModemSockets;
  readonly details: Map<number, QuectelSocket>;
  /** StandardSettings of `AT+QICFG`. */
  readonly settings: Map<string, string>;
  /** Setting of `AT+QISDE`: whether the bytes after a send prompt are echoed. */
  readonly echoesData: { current: number };
  apn: string | undefined;
  /** Whether the PDP context is active. */
  active: boolean;
  urcPort: string;
  /** For `AT+QIGETERROR`. */
  lastError: QuectelErrorCode;
}

export const createQuectelState = (context: DialectContext, quirks: QuectelQuirks): QuectelState => ({
  context,
  quirks,
  isEc200u: quirks.model === 'EC200U',
  sockets: createSockets(),
  details: new Map(),
  settings: new Map(DEFAULT_SETTINGS),
  echoesData: { current: 1 },
  apn: undefined,
  active: false,
  urcPort: OWN_PORT,
  lastError: 0,
});

/** Ends a command with OK for 0, else with ERROR, and keeps the code for `AT+QIGETERROR`. */
export function end(state: QuectelState, answer: AtAnswer, code: QuectelErrorCode): void {
  state.lastError = code;
  if (code === 0) answer.ok();
  else answer.error();
}

export function socketOf({ sockets }: QuectelState, argument: string | undefined): ModemSocket | undefined {
  const id = integer(argument, 0, LAST_ID);
  return id === undefined ? undefined : sockets.get(id);
}

export function closeAllSockets({ sockets, details }: QuectelState): void {
  sockets.closeAll();
  details.clear();
}

/** Whether URCs are printed on this tty. */
export const printsUrcs = ({ urcPort }: QuectelState): boolean => urcPort === OWN_PORT || urcPort === 'all';

/** The beginning of every `+QIURC`. */
export const urcPrefix = ({ quirks }: QuectelState): string => (quirks.urcSpace === 'yes' ? '+QIURC: ' : '+QIURC:');

export function printUrc(state: QuectelState, text: string): void {
  const { context, urcPort } = state;
  if (printsUrcs(state)) context.urc(`${urcPrefix(state)}${text}`);
  else context.note(`+QIURC: ${text} was printed on the port ${urcPort}`);
}
