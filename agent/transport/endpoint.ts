/** An address and a UDP port. */
export interface Endpoint {
  /** IPv4 or IPv6 literal; IPv4-mapped IPv6 is written as IPv4. */
  readonly address: string;
  readonly port: number;
}

/** `address:port`, with brackets around IPv6. */
export const formatEndpoint = ({ address, port }: Endpoint): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/**
 * Returns IPv4-mapped IPv6 (`::ffff:100.64.0.1`, RFC 4291 §2.5.5.2), as a dual-stack socket reports it, as plain IPv4.
 */
export const plainAddress = (address: string): string =>
  address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;

/**
 * Whether an address, known to be one, is IPv6. Node's own check compiles a regular expression: milliseconds at start.
 */
export const isVersion6 = (address: string): boolean => address.includes(':');

/** Returns the range that has one address; a link-local address loses its zone (`%eth0`). */
export const rangeOfAddress = (address: string): string =>
  isVersion6(address) ? `${address.replace(/%.*/, '')}/128` : `${address}/32`;

/** Whether an address is of this host only: the kernel takes no such source from a network. */
export const isLoopback = (address: string): boolean => address.startsWith('127.') || address === '::1';
