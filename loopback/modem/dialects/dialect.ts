import type { Endpoint } from '../../network/network.js';
import type { Handler } from '../at/interpreter.js';
import type { Unit } from '../at/unit.js';
import type { Cellular } from '../cellular.js';
import type { Clock } from '../clock.js';

/** A datagram that has come from the network. */
export interface Received {
  readonly bytes: Buffer;
  readonly source: Endpoint;
}

/** What a dialect is built on. */
export interface Kit {
  readonly clock: Clock;
  readonly cellular: Cellular;
  emit(unit: Unit): void;
  /** Prints `\r\n`, the text and `\r\n`, unasked. */
  urc(text: string): void;
  /** The second, later result of a command that has had its first. */
  late(text: string): void;
  echo(): boolean;
  /** Whether the datagram has left; only an attached modem sends. */
  transmit(bytes: Buffer, port: number, destination: Endpoint): boolean;
  /** Whether a fault hits the send command that has just come. */
  sendIsBusy(): boolean;
  /** Whether a fault hits the datagram whose bytes have just come. */
  sendFails(): boolean;
  /** The prompt, or what a fault makes of it. */
  prompt(usual: string): string;
  /** Something that people want to know and the host does not hear of. */
  note(text: string): void;
  /** Restarts the modem: the tty vanishes, all settings are lost. */
  restart(): void;
}

export interface SocketView {
  readonly id: number;
  readonly port: number;
  /** Datagrams that the host has not read. */
  readonly waiting: number;
}

/** What one modem family has of its own. */
export interface Dialect {
  readonly commands: Readonly<Record<string, Handler>>;
  readonly model: { readonly manufacturer: string; readonly name: string; readonly revision: string };
  /** What it prints after power-on, and when, in milliseconds. */
  readonly boot: readonly { readonly at: number; readonly bytes: Buffer }[];
  /** Lines after power-on that go unanswered: it finds out the baud rate by them. */
  readonly deafLines?: number;
  /** Printed before it restarts. */
  readonly farewell?: string;
  /** Whether it tells of the SIM as the radio goes off and on. */
  readonly tellsSim?: boolean;
  /** Whether `+CGPADDR` has its address without quotes. */
  readonly bareAddress?: boolean;
  /** Levels of `AT+CFUN` beside the standard’s that restart it. */
  readonly restartLevels?: readonly number[];
  /** Of what kind its answer to an unknown command is. */
  readonly unknown: 'plain' | 'cme';
  /** A URC that means nothing to a receiver of datagrams. */
  readonly idleUrc: string;
  /** Whether a socket takes what comes to this port. */
  receive(port: number, datagram: Received): boolean;
  /** The context is gone: the network dropped it, or the modem is no longer attached. */
  contextLost(): void;
  /** The network closes a socket, the first one if no id is given. Whether there was one. */
  closeSocket(id: number | undefined): boolean;
  sockets(): readonly SocketView[];
}
