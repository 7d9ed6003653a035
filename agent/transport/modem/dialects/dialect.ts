import type { Endpoint } from '../../endpoint.js';
import type { Grammar } from '../at/grammar.js';
import type { Script } from '../at/script.js';

export type FlowControl = 'none' | 'rtscts';

/** A setting of the radio or of sleep. */
export interface RadioSetting {
  readonly command: string;
  /**
   * A query, and the beginning of its answer with which the command is not needed: some settings cost a registration.
   */
  readonly unless?: { readonly ask: string; readonly answer: string };
}

/**
 * All that differs between families of modems. A dialect is one of these in a file of its own, its row in
 * {@link DIALECTS}, and its name in the configuration.
 */
export interface Dialect {
  readonly grammar: Grammar;
  /** Matches the answer to `AT+CGMM`. */
  readonly models: RegExp;
  /** Commands that may take minutes: they wait for the network. */
  readonly slowCommands: readonly string[];
  /** Commands that carry their payload in themselves, in hexadecimal between quotation marks. */
  readonly hexSends: readonly string[];
  /** Most bytes of one send. */
  readonly maxSend: number;
  /** Most device ports at a time for which the port of a received datagram is known. */
  readonly maxSockets: number;
  /** The command that reads the ICCID. */
  readonly iccid: string;
  /** Settings of the radio and of sleep. A modem may refuse one. */
  readonly radio: readonly RadioSetting[];
  /** The command that resets the modem; the port may disappear. */
  readonly reset: string;
  /** Time-out of switching the radio, where it is longer than usual. */
  readonly radioTimeoutMs?: number;
  /** Commands that set the flow control, where they are not `AT+IFC`. */
  readonly flow?: Readonly<Record<FlowControl, string>>;
  /**
   * Activates the context, unless it is active, and sets the form of received payloads. @throws ModemFaultError
   * `context`
   */
  activate(apn: string): Script<void>;
  deactivate(): Script<void>;
  /**
   * Opens a socket on a device port.
   *
   * @param index 0 for the first port, and so on
   * @returns the modem's number of the socket
   * @throws ModemFaultError `socket`, or `context` when the context is missing
   */
  listen(port: number, index: number, gateway: Endpoint): Script<number>;
  /**
   * Reads until nothing is left, or `most` times; undefined where the modem sends payloads unasked.
   *
   * @returns whether nothing is left
   */
  readonly receive?: (socket: number, most: number) => Script<boolean>;
  /** Reads data that the modem may not have announced. Fails when the socket is closed. */
  poll(socket: number): Script<void>;
  /** Sends at most {@link maxSend} bytes. @throws ModemFaultError `send`, `socket`, `context` */
  send(socket: number, to: Endpoint, bytes: Buffer, gateway: Endpoint): Script<void>;
  /** Never fails: a socket that is not open is closed. */
  close(socket: number): Script<void>;
}
