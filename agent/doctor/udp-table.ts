import { readFile } from 'node:fs/promises';
import { SocketAddress } from 'node:net';
import { endianness } from 'node:os';

/** A UDP socket of this network namespace. */
export interface UdpSocket {
  readonly address: string;
  readonly port: number;
  readonly inode: string;
  /** User who opened it. */
  readonly uid: number;
  /** Datagrams that the kernel dropped. */
  readonly drops: number;
}

/** Returns all UDP sockets. @throws (rejects) Error where /proc/net/udp cannot be read */
export async function readUdpSockets(): Promise<UdpSocket[]> {
  const [v4, v6] = await Promise.all([
    readFile('/proc/net/udp', 'latin1'),
    readFile('/proc/net/udp6', 'latin1').catch(() => ''),
  ]);
  return [...parseUdpTable(v4), ...parseUdpTable(v6)];
}

/**
 * Parses `/proc/net/udp{,6}`: `sl local_address rem_address st queues tr:tm retrnsmt uid timeout inode ref pointer
 * drops`.
 */
export function parseUdpTable(text: string): UdpSocket[] {
  return text.split('\n').flatMap((line) => {
    const columns = line.trim().split(/\s+/);
    const [, hex, port] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(columns[1] ?? '') ?? [];
    if (hex === undefined || port === undefined) return [];
    const row = {
      address: addressOf(hex),
      port: Number.parseInt(port, 16),
      inode: columns[9] ?? '',
      uid: Number(columns[7]),
    };
    return [{ ...row, drops: Number(columns.at(-1)) }];
  });
}

/** The kernel prints an address as 32-bit words in the machine's own byte order. */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  if (endianness() === 'LE') bytes.swap32();
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new SocketAddress({ address: words.join(':'), family: 'ipv6' }).address;
}

/** Returns whether a socket's address conflicts with another; undefined stands for any address. */
export const conflictsWith = (socket: UdpSocket, address: string | undefined): boolean =>
  address === undefined || ['0.0.0.0', '::', address, `::ffff:${address}`].includes(socket.address);
