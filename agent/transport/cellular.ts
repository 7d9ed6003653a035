import { readdirSync, readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/**
 * Names of cellular interfaces: `wwan0`, `ppp0` and `rmnet0` are the kernel's, `ww…` is systemd's prefix for WWAN
 * (systemd.net-naming-scheme(7)).
 */
const CELLULAR_NAME = /^(?:ww|ppp|rmnet)/;
const FOLDER = '/sys/class/net';

/** Addresses of this host only (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). A BlockList also finds them mapped into IPv6. */
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Addresses that every host gives itself, on any interface (RFC 3927, RFC 4291 §2.5.6). */
const LINK_LOCAL = new BlockList();
LINK_LOCAL.addSubnet('169.254.0.0', 16, 'ipv4');
LINK_LOCAL.addSubnet('fe80::', 10, 'ipv6');

/** Whether an interface is cellular by its name, or by the type that the kernel gives it. */
export const isCellular = (name: string): boolean => CELLULAR_NAME.test(name) || deviceType(name) === 'wwan';

/** Returns the names of all cellular interfaces, also of those without an address. */
export const cellularInterfaces = (): string[] => interfaceNames().filter(isCellular);

/** Returns the name of the interface with an address. */
export const interfaceOf = (address: string): string | undefined =>
  Object.entries(networkInterfaces()).find(([, all]) => all?.some((one) => one.address === address))?.[0];

/** Whether an address is of this host only, however it is written. */
export const isLoopbackAddress = (address: string): boolean => isIn(LOOPBACK, address);

/** Whether an address can be a SIM's: it is neither a loopback nor a link-local address. */
export const isSimAddress = (address: string): boolean => !isIn(LOOPBACK, address) && !isIn(LINK_LOCAL, address);

/**
 * Returns the addresses of an interface that can be a SIM's, by which the gateway can be reached: of its IP version.
 * With a gateway on this host, in development, loopback addresses count as well.
 */
export function simAddresses(name: string, gateway: string): string[] {
  const family = gateway.includes(':') ? 'IPv6' : 'IPv4';
  const isUsable = (address: string) =>
    isSimAddress(address) || (isLoopbackAddress(gateway) && isLoopbackAddress(address));
  return (networkInterfaces()[name] ?? [])
    .filter((entry) => entry.family === family && isUsable(entry.address))
    .map(({ address }) => address);
}

function isIn(list: BlockList, address: string): boolean {
  // The zone of a link-local address (`fe80::1%wwan0`, RFC 4007 §11) is not part of it.
  const plain = address.replace(/%.*/, '');
  const version = isIP(plain);
  return version !== 0 && list.check(plain, version === 6 ? 'ipv6' : 'ipv4');
}

/** Reads `DEVTYPE=`, which drivers of cellular modems set to `wwan`. */
function deviceType(name: string): string | undefined {
  try {
    return /^DEVTYPE=(.*)$/m.exec(readFileSync(`${FOLDER}/${name}/uevent`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

/** Includes interfaces without an address, which Node does not list. */
export function interfaceNames(): string[] {
  const withAddress = Object.keys(networkInterfaces());
  try {
    return [...new Set([...withAddress, ...readdirSync(FOLDER)])];
  } catch {
    return withAddress;
  }
}
