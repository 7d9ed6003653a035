import { isIP } from 'node:net';
import { interfaceOf, isCellular } from '../cellular.js';
import type { Endpoint } from '../endpoint.js';
import { routeSource } from '../udp/address.js';

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
 * | `auto` | the address is a cellular interface's, and the route to the gateway leaves by that interface |
 *
 * @returns undefined when they do
 */
export async function routeProblem(
  { listen, interface: named, gateway }: ReachOptions,
  address: string,
): Promise<string | undefined> {
  const isAuto = named === undefined && listen === 'auto';
  const cellular = named ?? (isAuto ? interfaceOf(address) : isIP(listen) === 0 ? listen : undefined);
  if (isAuto && (cellular === undefined || !isCellular(cellular)))
    return `${cellular ?? 'no interface'} is not known to be a cellular interface; set link.interface`;
  if (cellular === undefined) {
    const source = await routeSource(gateway, address);
    return source === undefined ? `no route from ${address} to ${gateway.address}` : undefined;
  }
  const source = await routeSource(gateway);
  if (source === undefined) return `no route to ${gateway.address}`;
  return interfaceOf(source) === cellular ? undefined : `the route to ${gateway.address} is not by ${cellular}`;
}
