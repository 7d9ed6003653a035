import { endianness } from 'node:os';
import { describe, expect, it } from 'vitest';
import { parseKernelDrops, readKernelDrops } from '../../../../agent/transport/udp/kernel-drops.js';

/** As little-endian machines print it: 127.0.0.53:53, 100.64.0.7:6969, 0.0.0.0:6969, and 6969 elsewhere. */
const UDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            
  341: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 16884 2 0000000000000000 3            
 7257: 07004064:1B39 00000000:0000 07 00000000:00001500 00:00000000 00000000   998        0 51234 2 0000000000000000 4711         
 7258: 00000000:1B39 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 51299 2 ffff8881052f9200 12           
 7259: 0100007F:1B3A 07004064:1B39 01 00000000:00000000 00:00000000 00000000     0        0 51300 2 0000000000000000 99           
`;

/** ::1:6969, :::6969, fe80::1234:6969, ::ffff:127.0.0.1:6969. */
const UDP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 7257: 00000000000000000000000001000000:1B39 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 51311 2 0000000000000000 5
 7258: 00000000000000000000000000000000:1B39 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 51312 2 0000000000000000 6
 7259: 000080FE000000000000000034120000:1B39 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 51313 2 0000000000000000 7
 7260: B80D01200100000002000000EFBEADDE:1B39 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 51314 2 0000000000000000 8
 7261: 0000000000000000FFFF00000100007F:1B39 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 51315 2 0000000000000000 9
`;

/** The same table as this machine would print it. */
const native = (table: string) =>
  endianness() === 'LE'
    ? table
    : table.replaceAll(/(?<= )(?:[0-9A-F]{8})+(?=:)/g, (address) =>
        address.replaceAll(/(..)(..)(..)(..)/g, '$4$3$2$1'),
      );

describe('the kernel’s table of sockets', () => {
  it.each<[string, number, number | undefined]>([
    ['127.0.0.53', 53, 3],
    ['100.64.0.7', 6969, 4711],
    ['0.0.0.0', 6969, 12],
    ['127.0.0.1', 6970, 99],
    ['127.0.0.1', 6969, undefined],
    ['100.64.0.7', 6970, undefined],
    ['7.0.64.100', 6969, undefined],
  ])('gives the drops of %s port %i: %s', (address, port, drops) => {
    expect(parseKernelDrops(native(UDP), { address, port })).toBe(drops);
  });

  it.each<[string, number, number | undefined]>([
    ['::1', 6969, 5],
    ['::', 6969, 6],
    ['0:0:0:0:0:0:0:0', 6969, 6],
    ['fe80::1234', 6969, 7],
    ['fe80::1234%wwan0', 6969, 7],
    ['2001:db8:0:1::2:dead:beef', 6969, 8],
    ['2001:db8:0:1:0:2:dead:beef', 6969, 8],
    ['2001:DB8:0:1:0:2:DEAD:BEEF', 6969, 8],
    ['::ffff:7f00:1', 6969, 9],
    ['::2', 6969, undefined],
  ])('gives the drops of [%s] port %i: %s', (address, port, drops) => {
    expect(parseKernelDrops(native(UDP6), { address, port })).toBe(drops);
  });

  it('gives nothing when it does not exist or does not list the socket', () => {
    expect(parseKernelDrops('', { address: '::1', port: 1 })).toBe(undefined);
    expect(readKernelDrops({ address: '127.0.0.1', port: 0 })).toBe(undefined);
    expect(readKernelDrops({ address: '::1', port: 0 })).toBe(undefined);
  });
});
