import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { resolveAddress } from '../../../../agent/transport/udp/address.js';
import { withDescriptors } from '../../../support/descriptors.js';
import { needs } from '../../../support/needs.js';

const GATEWAY = { address: '127.0.0.9', port: 6969 };

/** The name of the loopback interface: `lo` on Linux, `lo0` elsewhere. */
const loopback =
  Object.entries(networkInterfaces()).find(([, all]) => all?.some(({ address }) => address === '127.0.0.1'))?.[0] ?? '';

describe('the address to listen on', () => {
  it('is a configured address', async () => {
    for (const address of ['127.0.0.1', '100.64.3.4', '0.0.0.0', '::', '::1']) {
      expect(await resolveAddress(address, GATEWAY)).toBe(address);
    }
  });

  it('is by default the address of the interface that routes to the gateway', async () => {
    const address = await resolveAddress('auto', GATEWAY);
    expect(address).toMatch(/^127\./);
  });

  it('is none without a route to the gateway', async () => {
    // The kernel refuses to connect to the broadcast address without SO_BROADCAST; nothing is sent.
    expect(await resolveAddress('auto', { address: '255.255.255.255', port: 6969 })).toBe(undefined);
  });

  it.skipIf(needs('prlimit'))('is not none, but unknown, without free file descriptors', async () => {
    await withDescriptors(0, () => expect(resolveAddress('auto', GATEWAY)).rejects.toMatchObject({ code: 'EMFILE' }));
  });

  it('is the address of a configured interface, or none', async () => {
    expect(await resolveAddress(loopback, GATEWAY)).toBe('127.0.0.1');
    expect(await resolveAddress('nosuch0', GATEWAY)).toBe(undefined);
  });

  it.skipIf(needs('ipv6'))('has the address family of the gateway', async () => {
    expect(await resolveAddress(loopback, { address: '::1', port: 6969 })).toBe('::1');
    expect(await resolveAddress('auto', { address: '::1', port: 6969 })).toBe('::1');
  });
});
