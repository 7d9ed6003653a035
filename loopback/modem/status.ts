import type { Registration, SimStatus } from './cellular.js';
import type { SocketView } from './dialects/dialect.js';
import type { DialectName, Quirks } from './dialects/index.js';
import type { ModemFaults, ModemFaultsInput } from './faults/faults.js';

/** Options of a virtual modem. */
export interface ModemInput {
  readonly dialect: DialectName;
  /** Symbolic link to create to the tty, which may have another path after a restart. */
  readonly path?: string;
  /** Bits per second in each direction; default 0: no limit. */
  readonly baud?: number;
  /** Name of its SIM; default `modem-1`. The SIM is added when the loopback has none of this name. */
  readonly sim?: string;
  /** Variants of its firmware. */
  readonly quirks?: Quirks;
  readonly faults?: ModemFaultsInput;
  /** Seed of the faults' random numbers; default: the loopback's. */
  readonly seed?: number;
}

export interface ModemStatus {
  readonly dialect: DialectName;
  /** Name of its SIM. */
  readonly sim: string;
  /** Path of the tty; null while it is away. */
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
  /** Path of the tty; undefined while it is away. */
  readonly path: string | undefined;
  readonly link: string | undefined;
  status(): ModemStatus;
  faults(): { readonly faults: ModemFaults; readonly seed: number };
  /**
   * Sets the faults, and counts from 1 again.
   *
   * @throws SupersimError `bad-input` for faults or a seed that cannot be used; nothing changes then
   */
  setFaults(faults: ModemFaultsInput, seed?: number): void;
  /** Sets the network's answer to the modem. */
  setRegistration(registration: Registration): void;
  /** Sets the signal strength; undefined: unknown. */
  setSignal(dbm: number | undefined): void;
  setSim(status: SimStatus): void;
  /** Drops the PDP context as the network does; the modem prints it. */
  dropContext(): void;
  /** Closes a socket as the network does, the first one if no id is given. Returns whether there was one. */
  closeSocket(id?: number): boolean;
  /** Prints bytes that belong to nothing; default: up to 32 random ones. */
  sendGarbage(bytes?: Buffer): void;
  /** Prints an unsolicited line. */
  sendUrc(text: string): void;
  /** The tty vanishes, and comes back after the time of the fault `away`; resolved when it is back. */
  reset(): Promise<void>;
  /** The tty vanishes, with its link, until it is plugged; resolved when it is gone. */
  unplug(): Promise<void>;
  /** The tty comes back now, also one that was to be away for longer; resolved when it is back. */
  plug(): Promise<void>;
}
