import * as z from 'zod';
import { integer } from '../../at/command-line.js';
import type { AtAnswer } from '../../at/interpreter.js';
import type { DialectContext } from '../dialect.js';
import { createSockets, type ModemSocket, type ModemSockets } from '../sockets.js';

export const LAST_ID = 6;
/** Protocol number of UDP in `AT+USOCR` and `AT+USOCTL`. */
export const UDP = '17';

export const ubloxQuirks = z.strictObject({
  model: z
    .enum(['SARA-R5', 'SARA-R4', 'SARA-U201'])
    .default('SARA-R5')
    .describe(
      'The R4 activates its context by itself, prints +UUSORD, answers an empty read with "", and refuses a send into which a datagram comes, and others until that is read; the U201 prints +UUSORD.',
    ),
  trailer: z
    .enum(['blank-line', 'plain'])
    .default('blank-line')
    .describe('Whether there is a blank line between the data of AT+USORF and OK.'),
  commaSpace: z.enum(['yes', 'no']).default('no').describe('Whether a space follows the commas of +USORF.'),
  long: z
    .enum(['split', 'cut'])
    .default('split')
    .describe('A datagram above the limit of a read: the next read gives the rest, or the rest is lost.'),
});

export type UbloxQuirks = z.infer<typeof ubloxQuirks>;

/** Codes of `AT+USOER` and `AT+USOCTL=n,1`: as errno. */
export const ERRNO = {
  none: 0,
  badSocket: 9,
  again: 11,
  invalid: 22,
  inUse: 98,
  tooLong: 90,
  unreachable: 101,
} as const;

/** State of the modem between two restarts. */
export interface UbloxState {
  readonly context: DialectContext;
  readonly quirks: UbloxQuirks;
  readonly isR4: boolean;
  readonly sockets: ModemSockets;
  /** Setting of `AT+UDCONF=1`: whether payloads are hexadecimal. */
  readonly hex: { current: number };
  /** Whether the host has activated the context; the R4 does it as it attaches. */
  activated: boolean;
  lastError: number;
  /** The socket whose send prompt waits for its bytes. */
  sending: ModemSocket | undefined;
  /** Of the R4: whether sends are refused until the datagram that came into one is read. */
  refusesSends: boolean;
}

export const createUbloxState = (context: DialectContext, quirks: UbloxQuirks): UbloxState => ({
  context,
  quirks,
  isR4: quirks.model === 'SARA-R4',
  sockets: createSockets(),
  hex: { current: 0 },
  activated: false,
  lastError: 0,
  sending: undefined,
  refusesSends: false,
});

export const isActive = ({ isR4, context, activated }: UbloxState): boolean =>
  isR4 ? context.cellular.attached() : activated;

export function socketOf({ sockets }: UbloxState, argument: string | undefined): ModemSocket | undefined {
  const id = integer(argument, 0, LAST_ID);
  return id === undefined ? undefined : sockets.get(id);
}

/** Ends a command with an error, and keeps the code for `AT+USOER`. */
export function fail(state: UbloxState, answer: AtAnswer, errno: number): void {
  state.lastError = errno;
  answer.cme(3);
}

export function succeed(state: UbloxState, answer: AtAnswer): void {
  state.lastError = ERRNO.none;
  answer.ok();
}
