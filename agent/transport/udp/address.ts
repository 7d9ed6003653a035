import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { isShortage } from '../../base/shortage.js';
import {
  cellularInterfaces,
  interfaceOf,
  isCellular,
  isLoopbackAddress,
  isSimAddress,
  simAddresses,
} from '../cellular.js';
import { type Endpoint, isVersion6 } from '../endpoint.js';

/** The address to listen on, or why there is none. */
export type ListenAddress =
  | { readonly address: string; readonly problem?: undefined }
  | { readonly address?: undefined; readonly problem: string };

/**
 * Finds the local address to listen on now.
 *
 * | configured | address |
 * |---|---|
 * | an address | that one |
 * | an interface's name | its first address that can be a SIM's |
 * | `auto` | that of the cellular interface which routes to the gateway; else that of the only cellular interface with an address |
 * | `auto`, and the gateway is on this host | that which routes to the gateway |
 *
 * @param listen `auto`, an address, or an interface's name
 * @throws (rejects) Error when that cannot be found out now, for want of file descriptors
 */
export async function resolveAddress(listen: string, gateway: Endpoint): Promise<ListenAddress> {
  if (listen === 'auto') return cellularAddress(gateway);
  if (isIP(listen) !== 0) return { address: listen };
  const [address] = simAddresses(listen, gateway.address);
  return address === undefined ? { problem: `${listen} has no address` } : { address };
}

/** Never follows the route to an interface that is not cellular: a host there could pass as the network. */
async function cellularAddress(gateway: Endpoint): Promise<ListenAddress> {
  const source = await routeSource(gateway);
  if (source !== undefined && isLoopbackAddress(gateway.address)) return { address: source };
  const device = source === undefined ? undefined : interfaceOf(source);
  if (source !== undefined && device !== undefined && isCellular(device) && isSimAddress(source))
    return { address: source };
  const cellular = cellularInterfaces();
  const found = cellular.flatMap((name) => simAddresses(name, gateway.address).slice(0, 1));
  const [address] = found;
  if (address !== undefined && found.length === 1) return { address };
  if (found.length > 1)
    return { problem: `${cellular.join(' and ')} are cellular, and the route is by none of them: set link.interface` };
  if (cellular.length > 0) return { problem: `${cellular.join(' and ')} has no address` };
  const route = device === undefined ? 'there is no route' : `the route is by ${device}`;
  return { problem: `no interface is known to be cellular: set link.interface (to ${gateway.address} ${route})` };
}

/**
 * Returns the source address of datagrams to the gateway. Connecting a UDP socket sends nothing; it makes the kernel
 * look up the route and choose the source address.
 *
 * @param from a fixed source address: then the result only says whether there is a route
 * @returns undefined without a route
 * @throws (rejects) the system's error when that cannot be found out now, for want of file descriptors or memory
 */
export function routeSource(gateway: Endpoint, from?: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isVersion6(gateway.address) ? 'udp6' : 'udp4');
    const finish = (address: string | undefined) => {
      socket.close();
      resolve(address);
    };
    socket.once('error', (error) => {
      if (isShortage(error)) reject(error);
      finish(undefined);
    });
    socket.once('connect', () => finish(socket.address().address));
    const connect = () => socket.connect(gateway.port, gateway.address);
    if (from === undefined) connect();
    else socket.bind(0, from, connect);
  });
}
