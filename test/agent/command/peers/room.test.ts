import { describe, expect, it } from 'vitest';
import { createRoom, GATEWAY_PEER } from '../../../../agent/command/peers/room.js';

const datagram = (address: string, length: number) => ({ bytes: Buffer.alloc(length), source: { address, port: 1 } });

/** The room for answers, and the addresses that are proven. */
function start(answersGateway = false) {
  const proven = new Set<string>();
  return { proven, ...createRoom({ has: (address) => proven.has(address) }, () => answersGateway) };
}

describe('the room for answers to a direct peer', () => {
  it('is three times the bytes of its datagram, and at least 200', () => {
    const { left } = start();
    const sizes = [1, 66, 67, 1300].map((length) => left(datagram('192.0.2.1', length), '192.0.2.1:1'));
    expect(sizes).toEqual([200, 200, 201, 3900]);
  });

  it('is shared by all answers to one datagram, and a copy of it has its own', () => {
    const { left, take } = start();
    const first = datagram('192.0.2.1', 10);
    expect([150, 51, 50, 1].map((bytes) => take(first, '192.0.2.1:1', bytes))).toEqual([true, false, true, false]);
    expect(left(first, '192.0.2.1:1')).toBe(0);
    expect(left(datagram('192.0.2.1', 10), '192.0.2.1:1')).toBe(200);
  });

  it('has no limit once the address is proven, whatever the port', () => {
    const { left, proven, isLimited } = start();
    proven.add('192.0.2.1');
    expect(left(datagram('192.0.2.1', 1), '192.0.2.1:2')).toBe(Number.POSITIVE_INFINITY);
    expect(isLimited(datagram('192.0.2.2', 1), '192.0.2.2:2')).toBe(true);
  });
});

describe('there is no limit', () => {
  it.each([
    ['for the carrier', '100.64.0.1', GATEWAY_PEER],
    ['for loopback addresses', '127.0.0.1', '127.0.0.1:1'],
    ['for loopback addresses of IPv6', '::1', '[::1]:1'],
  ])('%s', (_, address, peer) => {
    const { left, take } = start();
    expect(left(datagram(address, 1), peer)).toBe(Number.POSITIVE_INFINITY);
    expect(take(datagram(address, 1), peer, 1300)).toBe(true);
  });

  it('where all answers go to the gateway', () => {
    expect(start(true).isLimited(datagram('192.0.2.1', 1), '192.0.2.1:1')).toBe(false);
  });
});
