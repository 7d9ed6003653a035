import type { Endpoint } from '../../network/network.js';
import type { AtHandler } from '../at/interpreter.js';
import type { OutputUnit } from '../at/output-unit.js';
import type { Cellular } from '../cellular.js';
import type { ModemClock } from '../clock.js';

/** A datagram from the network. */
export interface Received {
  readonly bytes: Buffer;
  readonly source: Endpoint;
}

/** The parts of the modem that a dialect uses. */
export interface DialectContext {
  readonly clock: ModemClock;
  readonly cellular: Cellular;
  emit(unit: OutputUnit): void;
  /** Prints `\r\n`, the text and `\r\n` as an unsolicited line. */
  readonly urc: (text: string) => void;
  /** Prints the second result of a command whose first one was printed before. */
  readonly delayedResult: (text: string) => void;
  /** Whether the host's input is echoed. */
  echo(): boolean;
  /** Sends a datagram. Returns false while the modem is not attached. */
  transmit(bytes: Buffer, port: number, destination: Endpoint): boolean;
  /** Whether a fault refuses the current send command. */
  sendIsBusy(): boolean;
  /** Whether a fault refuses the datagram whose bytes were received. */
  sendFails(): boolean;
  /** The prompt as the faults change it. */
  prompt(usual: string): string;
  /** Emits an event for the loopback's user; nothing is printed to the host. */
  note(text: string): void;
  /** Restarts the modem: the tty vanishes, and all settings are lost. */
  restart(): void;
}

export interface SocketView {
  readonly id: number;
  readonly port: number;
  /** Datagrams that the host has not read. */
  readonly waiting: number;
}

/** The part of a modem that depends on its family. */
export interface Dialect {
  readonly commands: Readonly<Record<string, AtHandler>>;
  readonly model: { readonly manufacturer: string; readonly name: string; readonly revision: string };
  /** Output after power-on, with its times in milliseconds. */
  readonly boot: readonly { readonly at: number; readonly bytes: Buffer }[];
  /** Number of lines after power-on that get no answer, because the modem detects the baud rate from them. */
  readonly autobaudLines?: number;
  /** Printed before a restart. */
  readonly shutdownUrc?: string;
  /** Whether the SIM's status is printed when the radio is switched off or on. */
  readonly printsSimStatus?: boolean;
  /** Whether `+CGPADDR` has its address without quotes. */
  readonly unquotedAddress?: boolean;
  /** Levels of `AT+CFUN` beside the standard's that restart the modem. */
  readonly restartLevels?: readonly number[];
  /** AtAnswer to an unknown command: a plain `ERROR` or a `+CME ERROR`. */
  readonly unknown: 'plain' | 'cme';
  /** A URC that has nothing to do with datagrams. */
  readonly idleUrc: string;
  /** Delivers a datagram from the network. Returns whether a socket takes it. */
  receive(port: number, datagram: Received): boolean;
  /** The network dropped the context, or the modem is no longer attached. */
  onContextLost(): void;
  /** Closes a socket as the network does, the first one if no id is given. Returns whether there was one. */
  closeSocket(id: number | undefined): boolean;
  sockets(): readonly SocketView[];
}
