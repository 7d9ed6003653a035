import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Endpoint } from '../endpoint.js';
import { routeSource } from '../udp/address.js';

/**
 * Names of interfaces with the SIM's own address: `ww…` is systemd's name for WWAN, `wwan0`, `ppp0` and `rmnet0` the
 * kernel's.
 */
const CELLULAR_NAME = /^(?:ww|ppp|rmnet)/;

export const isCellularName = (name: string): boolean => CELLULAR_NAME.test(name);

export interface ReachOptions {
  /** `auto`, an address, or an interface's name. */
  readonly listen: string;
  /** The cellular interface, where it is configured. */
  readonly interface: string | undefined;
  readonly gateway: Endpoint;
}

/**
 * Returns why datagrams from the address that UDP listens on do not reach the gateway by the cellular interface. It
 * sends nothing.
 *
 * | configured | they do when |
 * |---|---|
 * | an interface | the route to the gateway leaves by that interface |
 * | an address | there is a route from that address |
 * | `auto` | the interface that routes to the gateway has a cellular one's name |
 *
 * @returns undefined when they do
 */
export async function routeProblem(
  { listen, interface: named, gateway }: ReachOptions,
  address: string,
): Promise<string | undefined> {
  const cellular = named ?? (listen === 'auto' || isIP(listen) !== 0 ? undefined : listen);
  if (cellular !== undefined) {
    const source = await routeSource(gateway);
    if (source === undefined) return `no route to ${gateway.address}`;
    return interfaceOf(source) === cellular ? undefined : `the route to ${gateway.address} is not by ${cellular}`;
  }
  if (listen !== 'auto') {
    const source = await routeSource(gateway, address);
    return source === undefined ? `no route from ${address} to ${gateway.address}` : undefined;
  }
  const name = interfaceOf(address) ?? 'no interface';
  return isCellularName(name) ? undefined : `${name} is not known to be a cellular interface; set link.interface`;
}

/** Returns the name of the interface with an address. */
export const interfaceOf = (address: string): string | undefined =>
  Object.entries(networkInterfaces()).find(([, all]) => all?.some((one) => one.address === address))?.[0];
