import type { Endpoint } from '../../endpoint.js';
import type { Grammar } from '../at/grammar.js';
import type { Script } from '../at/script.js';

export type FlowControl = 'none' | 'rtscts';

/** A setting of radio or sleep. */
export interface Setting {
  readonly command: string;
  /** The question and the beginning of its answer that make the command needless: some settings cost a registration. */
  readonly unless?: { readonly ask: string; readonly answer: string };
}

/**
 * All that differs between families of modems. A dialect is one of these in a file of its own, its row in
 * {@link DIALECTS}, and its name in the configuration.
 */
export interface Dialect {
  readonly grammar: Grammar;
  /** What `AT+CGMM` answers. */
  readonly models: RegExp;
  /** Commands that may take minutes: they wait for the network. */
  readonly slowCommands: readonly string[];
  /** Commands that carry their payload in themselves, in hexadecimal between quotation marks. */
  readonly hexSends: readonly string[];
  /** Most bytes that one send carries. */
  readonly maxSend: number;
  /** Most ports that can be listened on at a time so that it is known which one a datagram came to. */
  readonly maxSockets: number;
  /** Asks for the ICCID. */
  readonly iccid: string;
  /** Settings of radio and sleep; a modem that refuses one does without. */
  readonly radio: readonly Setting[];
  /** Resets the modem; the port may vanish. */
  readonly reset: string;
  /** How long the radio may take to go off or on, where that is longer than usual. */
  readonly radioTimeoutMs?: number;
  /** Flow control by lines, where it is not the usual command that sets it. */
  readonly flow?: Readonly<Record<FlowControl, string>>;
  /** Activates the context, unless it is active, and sets how payloads come. @throws ModemFaultError `context` */
  activate(apn: string): Script<void>;
  deactivate(): Script<void>;
  /**
   * Opens a socket on a device port.
   *
   * @param index 0 for the first port, and so on
   * @returns the modem's number of it
   * @throws ModemFaultError `socket`, or `context` when it is that which is missing
   */
  listen(port: number, index: number, gateway: Endpoint): Script<number>;
  /**
   * Reads until nothing is left, or `most` times; not there where payloads come by themselves.
   *
   * @returns whether nothing is left
   */
  readonly receive?: (socket: number, most: number) => Script<boolean>;
  /** Reads what may wait without the modem having said so, and fails when the socket is gone. */
  poll(socket: number): Script<void>;
  /** Sends at most {@link maxSend} bytes. @throws ModemFaultError `send`, `socket`, `context` */
  send(socket: number, to: Endpoint, bytes: Buffer, gateway: Endpoint): Script<void>;
  /** Never fails: a socket that is not open is closed. */
  close(socket: number): Script<void>;
}
