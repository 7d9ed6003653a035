import type { Endpoint } from './endpoint.js';

/** One datagram as a transport hands it up. */
export interface Datagram {
  readonly bytes: Buffer;
  readonly source: Endpoint;
  /** The device port that it came to. */
  readonly port: number;
  /** Name of the transport that it came by. */
  readonly transport: string;
  /** When it came, on the monotonic clock (milliseconds, as `performance.now()`). */
  readonly receivedAt: number;
}

/**
 * Told of what was to be sent: an error with code `link-down` when it could not leave, and `too-large` when it never can;
 * else, where there are several links, the one that it left by.
 */
export type Sent = (error?: Error, link?: string) => void;

/** How datagrams come in and go out. Everything above is the same for each of them. */
export interface Transport {
  readonly name: string;
  /**
   * Begins to receive. Having no link is no error: the transport goes on trying.
   *
   * @throws SupersimError `port-in-use` or `port-forbidden`
   */
  start(receive: (datagram: Datagram) => void): Promise<void>;
  /**
   * Sends from `port`, one of the device ports.
   *
   * @param done see {@link Sent}
   * @param via name of the transport that the command came by, which a reply leaves by where it can
   */
  send(bytes: Uint8Array, destination: Endpoint, port: number, done: Sent, via?: string): void;
  /** The longest datagram that can leave, whichever link it leaves by. */
  maxBytes(): number;
  /** Its links, as they are now. */
  link(): LinkView;
  /** The address that it listens on now; undefined without a link. */
  address(): string | undefined;
  /** Datagrams that the kernel threw away because its buffer was full, since the start; undefined where it does not tell. */
  kernelDrops(): number | undefined;
  /** The modem that it uses, for somebody at the device; not there where it uses none. */
  readonly modem?: ModemConsole | undefined;
  stop(): Promise<void>;
}

/** What was written to a modem's port in one go, or came from it. */
export interface ModemRecord {
  /** From 1; one more for each record since the start, also for those that are not kept any more. */
  readonly n: number;
  /** Milliseconds, of a clock that only goes forward. */
  readonly t: number;
  readonly dir: 'tx' | 'rx';
  readonly hex: string;
}

/** A modem's serial port, which one process at a time can use. */
export interface ModemConsole {
  /**
   * Runs a command between the transport's own.
   *
   * @returns the lines of its answer, the last of them the final result
   * @throws SupersimError `modem-silent`, `modem-port-lost`
   */
  at(command: string): Promise<readonly string[]>;
  /** The records that are kept and have a number above this one, oldest first. */
  log(after: number): readonly ModemRecord[];
}

/** A step of the recovery of a modem, the mildest first. */
export type Rung =
  /** Close the socket and open it again. */
  | 'socket'
  /** Deactivate the context, activate it, and open all sockets again. */
  | 'context'
  /** Check that the modem answers, and bring it up from the beginning. */
  | 'bring-up'
  /** Open the serial port again, then bring the modem up: its settings are lost. */
  | 'port'
  /** Switch the radio off and on. */
  | 'airplane'
  /** The modem's own reset. */
  | 'reset'
  /** Switch the modem's power, where the agent has been told how. */
  | 'power';

/** Why bytes from a modem were discarded. */
export type DiscardReason =
  /** Bytes that are no text, before a line: a UART that powers up. */
  | 'noise'
  /** A line with bytes that are no text. */
  | 'not-text'
  /** A line that no modem of this dialect sends. */
  | 'unknown-line'
  /** A header without its command, or with an impossible count or socket. */
  | 'bad-header'
  /** The echo of a command that the agent did not write: another program uses the port. */
  | 'foreign-echo'
  | 'line-too-long'
  /** A line or payload that was cut short. */
  | 'incomplete'
  /** A payload that should be hexadecimal and is not. */
  | 'not-hexadecimal';

/** Counters of a modem. All but the rungs, which outlive the process, are since the agent's start. */
export interface ModemCounters {
  /** How often each rung of the recovery was done. */
  readonly rungs: Readonly<Record<Rung, number>>;
  /** Rungs that were deferred because UDP, which the same modem may carry, was in use. */
  readonly withheld: number;
  /** How often the serial port was opened. */
  readonly portOpened: number;
  /** How often the modem announced waiting data by itself. */
  readonly dataUrcs: number;
  /** How often a poll found data that the modem had not announced. */
  readonly dataUrcsLost: number;
  readonly polls: number;
  /** Discarded bytes from the modem, by reason. */
  readonly discardedBytes: Readonly<Record<DiscardReason, number>>;
  /** How often bytes were discarded. */
  readonly discarded: number;
}

/** What a modem last said of itself and of its network. */
export interface ModemHealth {
  readonly model?: string | undefined;
  /** As the modem names or numbers it, such as `23415`. */
  readonly operator?: string | undefined;
  readonly registration?: 'none' | 'home' | 'searching' | 'denied' | 'unknown' | 'roaming' | undefined;
  readonly signalDbm?: number | undefined;
  readonly iccid?: string | undefined;
  readonly imei?: string | undefined;
  readonly counters?: ModemCounters | undefined;
}

/** A link: one path to the network. */
export interface LinkStatus {
  /** Name of its transport. */
  readonly name: string;
  readonly up: boolean;
  /** Why it is down. */
  readonly reason?: string | undefined;
  /** Since when it is up, or down; Unix milliseconds, see {@link wallTime}. */
  readonly since: number;
  readonly address?: string | undefined;
  readonly modem?: ModemHealth | undefined;
}

/** The link in use, and all that there are. */
export interface LinkView {
  readonly name: string;
  /** Since when it is the one in use; Unix milliseconds. */
  readonly since: number;
  /** How often another one was taken. */
  readonly switches: number;
  readonly links: readonly LinkStatus[];
}

/** What there is to say of the link of a transport that has just one. */
export const onlyLink = (status: LinkStatus, since: number): LinkView => ({
  name: status.name,
  since,
  switches: 0,
  links: [status],
});

/**
 * A moment of the monotonic clock in Unix milliseconds, to the second: by the wall clock as it is now, which may have
 * been wrong then.
 */
export const wallTime = (moment: number): number => Math.round((Date.now() - performance.now() + moment) / 1000) * 1000;
