import * as z from 'zod';
import type { AtAnswer } from '../../at/interpreter.js';
import type { DialectContext } from '../dialect.js';
import { createSockets, type ModemSockets } from '../sockets.js';

/** ModemSockets that there can be, numbered from 0. */
export const LINKS = 10;

export const simcom7600Quirks = z.strictObject({
  model: z
    .enum(['SIM7600', 'A7670'])
    .default('SIM7600')
    .describe(
      'The A7670 has a space behind the prompt, no AT+CSOCKSETPN, +CGPADDR without quotes, and *ATREADY: 1 at the start.',
    ),
  order: z
    .enum(['line-first', 'ok-first'])
    .default('line-first')
    .describe('Whether +CIPOPEN and +CIPCLOSE come before OK or after it.'),
  netState: z.enum(['one', 'two']).default('one').describe('Whether AT+NETOPEN? answers 1 or 1,0.'),
  settles: z
    .enum(['no', 'yes'])
    .default('no')
    .describe('Whether AT+CIPOPEN in the first second after +NETOPEN gives 2, network not opened.'),
  netClose: z
    .enum(['closes-sockets', 'refuses'])
    .default('closes-sockets')
    .describe('What AT+NETCLOSE does while sockets are open.'),
  headers: z
    .enum(['any-time', 'closed-network'])
    .default('any-time')
    .describe('Whether AT+CIPSRIP and AT+CIPHEAD take effect, or are just answered OK, while the network is open.'),
});

export type Simcom7600Quirks = z.infer<typeof simcom7600Quirks>;

/** State of the modem between two restarts. */
export interface Simcom7600State {
  readonly context: DialectContext;
  readonly quirks: Simcom7600Quirks;
  readonly isA7670: boolean;
  readonly sockets: ModemSockets;
  /** Setting of `AT+CIPSRIP`: whether the source of a datagram is printed. */
  readonly showsSource: { current: number };
  /** Setting of `AT+CIPHEAD`: whether the length of a datagram is printed. */
  readonly showsHeader: { current: number };
  /** Setting of `AT+CIPRXGET`: whether datagrams wait until they are read, instead of being printed. */
  readonly readsManually: { current: number };
  readonly transparentMode: { current: number };
  /** Form of the header, set by `AT+CIPCCFG`. */
  headerType: number;
  /** The network is `broken` from the loss of the context until the host closes it. */
  net: 'closed' | 'opening' | 'open' | 'broken';
  /** When the network was opened. */
  openedAt: number;
}

export const createSimcom7600State = (context: DialectContext, quirks: Simcom7600Quirks): Simcom7600State => ({
  context,
  quirks,
  isA7670: quirks.model === 'A7670',
  sockets: createSockets(),
  showsSource: { current: 0 },
  showsHeader: { current: 0 },
  readsManually: { current: 0 },
  transparentMode: { current: 0 },
  headerType: 0,
  net: 'closed',
  openedAt: 0,
});

export const failWithIpError = (answer: AtAnswer, text: string): void => failWithLine(answer, `+IP ERROR: ${text}`);

export function failWithLine(answer: AtAnswer, line: string): void {
  answer.line(line);
  answer.error();
}
