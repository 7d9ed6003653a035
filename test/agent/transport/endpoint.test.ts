import { describe, expect, it } from 'vitest';
import { formatEndpoint, plainAddress } from '../../../agent/transport/endpoint.js';

describe('formatEndpoint', () => {
  it('writes address and port, with brackets around IPv6', () => {
    expect(formatEndpoint({ address: '100.64.0.1', port: 6969 })).toBe('100.64.0.1:6969');
    expect(formatEndpoint({ address: 'fe80::1%eth0', port: 1 })).toBe('[fe80::1%eth0]:1');
  });
});

describe('plainAddress', () => {
  it('turns IPv4-mapped IPv6 into plain IPv4, and leaves other addresses as they are', () => {
    expect(plainAddress('::ffff:100.64.0.1')).toBe('100.64.0.1');
    for (const other of ['100.64.0.1', '::1', '::ffff:1:2', 'fe80::1%eth0', '64:ff9b::1.2.3.4']) {
      expect(plainAddress(other)).toBe(other);
    }
  });
});
