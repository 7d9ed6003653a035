import type { Registration, SimStatus } from './cellular.js';
import type { SocketView } from './dialects/dialect.js';
import type { DialectName, Quirks } from './dialects/index.js';
import type { ModemFaults, ModemFaultsInput } from './faults/faults.js';

/** A virtual modem for the loopback to have. */
export interface ModemInput {
  readonly dialect: DialectName;
  /** A symbolic link to the tty, which has a new path after each restart. */
  readonly path?: string;
  /** Bits a second, both ways; default 0: as fast as it goes. */
  readonly baud?: number;
  /** Name of its SIM; default `modem-1`. It is added when the loopback has none of this name. */
  readonly sim?: string;
  /** What its firmware does in more than one way. */
  readonly quirks?: Quirks;
  readonly faults?: ModemFaultsInput;
  /** What chance begins with; default: the loopback’s. */
  readonly seed?: number;
}

export interface ModemStatus {
  readonly dialect: DialectName;
  /** Name of its SIM. */
  readonly sim: string;
  /** Of the tty; null while it is away. */
  readonly path: string | null;
  readonly link: string | null;
  readonly baud: number;
  readonly registration: Registration;
  readonly attached: boolean;
  readonly simStatus: SimStatus;
  readonly dbm: number | null;
  /** False from `unplug` to `plug`. */
  readonly plugged: boolean;
  readonly sockets: readonly SocketView[];
}

/** The virtual modem of a running loopback. */
export interface LoopbackModem {
  readonly dialect: DialectName;
  readonly simName: string;
  /** Of the tty; undefined while it is away. */
  readonly path: string | undefined;
  readonly link: string | undefined;
  status(): ModemStatus;
  faults(): { readonly faults: ModemFaults; readonly seed: number };
  /**
   * Sets the faults from now, and counts from 1 again.
   *
   * @throws SupersimError `bad-input` for faults or a seed that cannot be used; nothing changes then
   */
  setFaults(faults: ModemFaultsInput, seed?: number): void;
  /** What the network says to the modem from now. */
  setRegistration(registration: Registration): void;
  /** Undefined: unknown. */
  setSignal(dbm: number | undefined): void;
  setSim(status: SimStatus): void;
  /** The network drops the PDP context, and the modem says so. */
  dropContext(): void;
  /** The network closes a socket, the first one if none is named. Whether there was one. */
  closeSocket(id?: number): boolean;
  /** Bytes out of nowhere; default: up to 32 by chance. */
  sendGarbage(bytes?: Buffer): void;
  /** Prints a line unasked. */
  sendUrc(text: string): void;
  /** The tty vanishes, and comes back after the time of the fault `away`; resolved when it is back. */
  reset(): Promise<void>;
  /** The tty vanishes, with its link, until it is plugged; resolved when it is gone. */
  unplug(): Promise<void>;
  /** The tty comes back now, also one that was to be away for longer; resolved when it is back. */
  plug(): Promise<void>;
}
