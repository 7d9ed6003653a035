import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { endianness } from 'node:os';
import type { Endpoint } from '../endpoint.js';

/**
 * Reads from the kernel how many datagrams a socket lost because its receive buffer was full.
 *
 * @returns undefined where `/proc/net/udp` does not exist or does not list the socket
 */
export const readKernelDrops = (local: Endpoint): number | undefined => parseKernelDrops(readTable(local), local);

/**
 * Reads how many bytes of memory the datagrams take that wait in a socket's receive buffer.
 *
 * @returns undefined as {@link readKernelDrops}
 */
export const readKernelQueue = (local: Endpoint): number | undefined => parseKernelQueue(readTable(local), local);

/** Returns the `drops` column (the last one) in the row of a local address and port of `/proc/net/udp{,6}`. */
export function parseKernelDrops(table: string, local: Endpoint): number | undefined {
  const drops = rowOf(table, local)?.at(-1);
  return drops === undefined ? undefined : Number(drops);
}

/** Returns the column `rx_queue`, which is hexadecimal. */
export function parseKernelQueue(table: string, local: Endpoint): number | undefined {
  const queues = rowOf(table, local)?.[4];
  return queues === undefined ? undefined : Number.parseInt(queues.split(':')[1] ?? '', 16);
}

function readTable({ address }: Endpoint): string {
  try {
    return readFileSync(isIPv6(address) ? '/proc/net/udp6' : '/proc/net/udp', 'latin1');
  } catch {
    return '';
  }
}

function rowOf(table: string, local: Endpoint): string[] | undefined {
  const wanted = `${hexAddress(local.address)}:${local.port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of table.split('\n')) {
    const columns = line.trim().split(/\s+/);
    if (columns[1] === wanted) return columns;
  }
  return undefined;
}

/** Formats an address as the kernel does: 32-bit words in the machine's byte order. */
function hexAddress(address: string): string {
  const bytes = isIPv6(address) ? ipv6Bytes(address) : address.split('.').map(Number);
  if (endianness() === 'LE') {
    for (let word = 0; word < bytes.length; word += 4) bytes.splice(word, 4, ...bytes.slice(word, word + 4).reverse());
  }
  return Buffer.from(bytes).toString('hex').toUpperCase();
}

function ipv6Bytes(address: string): number[] {
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const words = (part: string) => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)));
  const first = words(head);
  const last = tail === undefined ? [] : words(tail);
  const zeros = new Array<number>(8 - first.length - last.length).fill(0);
  return [...first, ...zeros, ...last].flatMap((word) => [word >> 8, word & 0xff]);
}
