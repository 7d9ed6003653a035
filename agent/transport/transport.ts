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

/** How datagrams come in and go out. Everything above is the same for each of them. */
export interface Transport {
  readonly name: string;
  /**
   * Begins to receive. Having no link is no error: the transport goes on trying.
   *
   * @throws SupersimError `port-in-use` or `port-forbidden`
   */
  start(receive: (datagram: Datagram) => void): Promise<void>;
  /** Sends from `port`, one of the device ports; `done` gets an error with code `link-down` when it could not leave. */
  send(bytes: Uint8Array, destination: Endpoint, port: number, done: (error?: Error) => void): void;
  /** The address that it listens on now; undefined without a link. */
  address(): string | undefined;
  /** Datagrams that the kernel threw away because its buffer was full, since the start; undefined where it does not tell. */
  kernelDrops(): number | undefined;
  stop(): Promise<void>;
}

/** `address:port`, with brackets around IPv6. */
export const formatEndpoint = ({ address, port }: Endpoint): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** IPv4-mapped IPv6 (`::ffff:100.64.0.1`, RFC 4291 §2.5.5.2), as a dual-stack socket reports it, as plain IPv4. */
export const plainAddress = (address: string): string =>
  address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;

/** Whether an address, known to be one, is IPv6. Node's own check compiles a regular expression: milliseconds at start. */
export const isVersion6 = (address: string): boolean => address.includes(':');
