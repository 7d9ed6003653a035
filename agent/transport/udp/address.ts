import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isShortage } from '../../base/shortage.js';
import { type Endpoint, isVersion6 } from '../endpoint.js';

/**
 * Returns the local address to listen on now.
 *
 * @param listen `auto` (that of the interface which routes to the gateway), an address, or an interface's name
 * @returns undefined while there is none
 * @throws (rejects) Error when that cannot be found out now, for want of file descriptors
 */
export async function resolveAddress(listen: string, gateway: Endpoint): Promise<string | undefined> {
  if (listen === 'auto') return routeSource(gateway);
  if (isIP(listen) !== 0) return listen;
  return interfaceAddress(listen, isVersion6(gateway.address) ? 6 : 4);
}

/** Returns the first address of an interface in a family (4 or 6) that is not link-local. */
function interfaceAddress(name: string, family: number): string | undefined {
  const addresses = networkInterfaces()[name] ?? [];
  return addresses.find((entry) => entry.family === `IPv${family}` && !entry.address.startsWith('fe80:'))?.address;
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
