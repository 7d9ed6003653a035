import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseUdpTable } from '../../../agent/doctor/udp-table.js';
import { openPeer } from '../../support/udp.js';

describe('parseUdpTable', () => {
  it('reads the kernel’s IPv4 table', async () => {
    const peer = await openPeer();
    const { address, port: number } = peer.endpoint;
    expect(parseUdpTable(readFileSync('/proc/net/udp', 'latin1'))).toContainEqual(
      expect.objectContaining({ address, port: number, uid: process.getuid?.() }),
    );
  });

  it('reads rows of the IPv6 table', () => {
    const row =
      '  1: 00000000000000000000000001000000:1B39 00000000000000000000000000000000:0000 07 0:0 00:0 0 5 0 77 2 0 3';
    expect(parseUdpTable(row)).toEqual([{ address: '::1', port: 6969, inode: '77', uid: 5, drops: 3 }]);
  });
});
