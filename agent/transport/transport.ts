import type { ModemCounters } from './modem/counters.js';

/** An address and a UDP port. */
export interface Endpoint {
  /** IPv4 or IPv6 literal; IPv4-mapped IPv6 is written as IPv4. */
  readonly address: string;
  readonly port: number;
}

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

/** `address:port`, with brackets around IPv6. */
export const formatEndpoint = ({ address, port }: Endpoint): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** IPv4-mapped IPv6 (`::ffff:100.64.0.1`, RFC 4291 §2.5.5.2), as a dual-stack socket reports it, as plain IPv4. */
export const plainAddress = (address: string): string =>
  address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;

/** Whether an address, known to be one, is IPv6. Node's own check compiles a regular expression: milliseconds at start. */
export const isVersion6 = (address: string): boolean => address.includes(':');
