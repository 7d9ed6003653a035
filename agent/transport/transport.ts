import type { Endpoint } from './endpoint.js';

/** A received datagram. */
export interface Datagram {
  readonly bytes: Buffer;
  readonly source: Endpoint;
  /** The device port that received it. */
  readonly port: number;
  /** Name of the transport that received it. */
  readonly transport: string;
  /** Time of receipt by the monotonic clock (milliseconds, as `performance.now()`). */
  readonly receivedAt: number;
}

/**
 * Called when a datagram was sent or failed: with an error of code `link-down`, or `too-large` when it never can be
 * sent; otherwise, where there are several links, with the name of the one that sent it.
 */
export type SendCallback = (error?: Error, link?: string) => void;

/** Receives and sends datagrams. Everything above works the same with each transport. */
export interface Transport {
  readonly name: string;
  /**
   * Starts to receive. A missing link is no error: the transport keeps trying.
   *
   * @throws SupersimError `port-in-use` or `port-forbidden`
   */
  start(receive: (datagram: Datagram) => void): Promise<void>;
  /**
   * Sends from `port`, one of the device ports.
   *
   * @param done see {@link SendCallback}
   * @param via name of the transport that received the command: its reply is sent by the same one where possible
   */
  send(bytes: Uint8Array, destination: Endpoint, port: number, done: SendCallback, via?: string): void;
  /** Returns the size of the longest datagram that every link can send. */
  maxBytes(): number;
  /** Returns the current state of the links. */
  link(): LinkView;
  /** Returns the address that it listens on; undefined without a link. */
  address(): string | undefined;
  /**
   * Returns how many datagrams the kernel dropped since the start because its buffer was full; undefined where unknown.
   */
  kernelDrops(): number | undefined;
  /** Console of the modem; undefined where no modem is used. */
  readonly modem?: ModemConsole | undefined;
  stop(): Promise<void>;
}

/** Bytes of one write to a modem's port, or of one read from it. */
export interface ModemRecord {
  /** Number of the record since the start, from 1. */
  readonly n: number;
  /** Milliseconds of a monotonic clock. */
  readonly t: number;
  readonly dir: 'tx' | 'rx';
  readonly hex: string;
}

/** Access to the modem's serial port, which one process at a time can use. */
export interface ModemConsole {
  /**
   * Runs a command between the transport's own commands.
   *
   * @returns the lines of its answer, the last of them the final result
   * @throws SupersimError `modem-silent`, `modem-port-lost`
   */
  at(command: string): Promise<readonly string[]>;
  /** Returns the kept records with a number above this one, oldest first. */
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

/** Identity, network and counters of a modem, as last reported. */
export interface ModemHealth {
  readonly model?: string | undefined;
  /** Name or number of the operator, such as `23415`. */
  readonly operator?: string | undefined;
  readonly registration?: 'none' | 'home' | 'searching' | 'denied' | 'unknown' | 'roaming' | undefined;
  readonly signalDbm?: number | undefined;
  readonly iccid?: string | undefined;
  readonly imei?: string | undefined;
  readonly counters?: ModemCounters | undefined;
}

/** State of a link, which is one path to the network. */
export interface LinkStatus {
  /** Name of the transport. */
  readonly name: string;
  readonly up: boolean;
  /** Why the link is down. */
  readonly reason?: string | undefined;
  /** Time of the last change of `up`, in Unix milliseconds; see {@link wallTime}. */
  readonly since: number;
  readonly address?: string | undefined;
  readonly modem?: ModemHealth | undefined;
}

/** The link in use, and all links. */
export interface LinkView {
  readonly name: string;
  /** Since when the link is in use, in Unix milliseconds. */
  readonly since: number;
  /** Number of switches between links. */
  readonly switches: number;
  readonly links: readonly LinkStatus[];
}

/** Returns the view of a transport with a single link. */
export const onlyLink = (status: LinkStatus, since: number): LinkView => ({
  name: status.name,
  since,
  switches: 0,
  links: [status],
});

/**
 * Converts a time of the monotonic clock to Unix milliseconds, rounded to the second. It uses the wall clock of now, as
 * the wall clock may have been wrong then.
 */
export const wallTime = (moment: number): number => Math.round((Date.now() - performance.now() + moment) / 1000) * 1000;
