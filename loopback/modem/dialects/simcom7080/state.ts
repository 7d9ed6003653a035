import * as z from 'zod';
import type { Endpoint } from '../../../network/network.js';
import { integer } from '../../at/command-line.js';
import type { DialectContext } from '../dialect.js';
import { createSockets, type ModemSocket, type ModemSockets } from '../sockets.js';

/** The highest connection id (`cid`). */
export const LAST_CID = 12;

export const simcom7080Quirks = z.strictObject({
  newPeer: z
    .enum(['cadataind', 'canew', 'canew-new-cid'])
    .default('canew')
    .describe(
      'What a listener prints for the first datagram of a peer: +CADATAIND, or +CANEW with the data on the listener or on the new cid.',
    ),
  casrip: z
    .enum(['yes', 'no'])
    .default('yes')
    .describe('Whether AT+CASRIP is known; if not, no source address is printed.'),
  sent: z
    .enum(['ok', 'line-first', 'line-last'])
    .default('ok')
    .describe('Whether +CASEND: cid,0,length comes with the OK of a send, and before or after it.'),
  trailer: z
    .enum(['blank-line', 'plain'])
    .default('blank-line')
    .describe('Whether there is a blank line between the data of AT+CARECV and OK.'),
  appPdp: z
    .enum(['last', 'first'])
    .default('last')
    .describe('Whether +APP PDP comes after the OK of AT+CNACT or before.'),
  ccid: z.enum(['bare', 'named']).default('bare').describe('Whether AT+CCID answers with the number alone.'),
  autobaud: z.enum(['yes', 'no']).default('yes').describe('Whether the first two lines after power-on go unanswered.'),
});

export type Simcom7080Quirks = z.infer<typeof simcom7080Quirks>;

/** Properties of an open socket beside those that every dialect's sockets have. */
export interface Simcom7080Socket {
  /** Opened by `AT+CASERVER`: it takes datagrams of every source. */
  readonly server: boolean;
  /** Whether datagrams are printed with their URC, instead of waiting for `AT+CARECV`. */
  readonly push: boolean;
  /** Peers that the listener has announced, by `address:port`. */
  readonly peers: Set<string>;
}

/** State of the modem between two restarts. */
export interface Simcom7080State {
  readonly context: DialectContext;
  readonly quirks: Simcom7080Quirks;
  readonly sockets: ModemSockets;
  readonly details: Map<number, Simcom7080Socket>;
  /** Local ports by cid, set by `AT+CACFG`. */
  readonly localPorts: Map<number, number>;
  /** Peers that listeners send to, by cid, set by `AT+CACFG`. */
  readonly remotes: Map<number, Endpoint>;
  /** Setting of `AT+CASRIP`: whether the source of a datagram is printed. */
  readonly showsSource: { current: number };
  apn: string | undefined;
  /** Whether the PDP context is active. */
  active: boolean;
}

export const createSimcom7080State = (context: DialectContext, quirks: Simcom7080Quirks): Simcom7080State => ({
  context,
  quirks,
  sockets: createSockets(),
  details: new Map(),
  localPorts: new Map(),
  remotes: new Map(),
  showsSource: { current: 0 },
  apn: undefined,
  active: false,
});

export function socketOf({ sockets }: Simcom7080State, argument: string | undefined): ModemSocket | undefined {
  const cid = integer(argument, 0, LAST_CID);
  return cid === undefined ? undefined : sockets.get(cid);
}

export function closeAllSockets({ sockets, details, remotes }: Simcom7080State): void {
  sockets.closeAll();
  details.clear();
  remotes.clear();
}
