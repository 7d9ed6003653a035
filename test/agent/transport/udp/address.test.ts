import { networkInterfaces } from 'node:os';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { resolveAddress } from '../../../../agent/transport/udp/address.js';
import { withDescriptors } from '../../../support/descriptors.js';
import { interfacesOf } from '../../../support/links.js';
import { needs } from '../../../support/needs.js';

vi.mock('node:os', { spy: true });

const GATEWAY = { address: '127.0.0.9', port: 6969 };

/** The name of the loopback interface: `lo` on Linux, `lo0` elsewhere. */
const loopback =
  Object.entries(networkInterfaces()).find(([, all]) => all?.some(({ address }) => address === '127.0.0.1'))?.[0] ?? '';

describe('the address to listen on', () => {
  it('is a configured address', async () => {
    for (const address of ['127.0.0.1', '100.64.3.4', '0.0.0.0', '::', '::1']) {
      expect(await resolveAddress(address, GATEWAY)).toEqual({ address });
    }
  });

  it('is by default a loopback address when the gateway has one, as in development', async () => {
    expect(await resolveAddress('auto', GATEWAY)).toEqual({ address: expect.stringMatching(/^127\./) });
  });

  /** Sets the interfaces; the kernel routes to this test’s gateway by none of them. */
  const resolveWith = (interfaces: Record<string, string[]>) => {
    vi.mocked(networkInterfaces).mockReturnValue(interfacesOf(interfaces));
    onTestFinished(() => void vi.mocked(networkInterfaces).mockReset());
    return resolveAddress('auto', { address: '255.255.255.255', port: 6969 });
  };

  it('is by default that of the only cellular interface with an address, wherever the route leads', async () => {
    expect(await resolveWith({ eth0: ['192.168.1.5'], ppp0: ['169.254.3.4', '10.64.3.4'] })).toEqual({
      address: '10.64.3.4',
    });
  });

  it('is none by default when no interface is cellular, or the cellular one has only a link-local address', async () => {
    expect(await resolveWith({ eth0: ['192.168.1.5'] })).toEqual({
      problem: expect.stringMatching(/no interface is known to be cellular: set link\.interface/),
    });
    expect(await resolveWith({ ppp0: ['169.254.3.4'] })).toEqual({ problem: 'ppp0 has no address' });
  });

  it('is none by default when several cellular interfaces have an address and none has the route', async () => {
    expect(await resolveWith({ ppp0: ['10.64.3.4'], wwan0: ['10.64.3.5'] })).toEqual({
      problem: expect.stringMatching(/ppp0 and wwan0 are cellular.*set link\.interface/),
    });
  });

  it('is none without a route to the gateway', async () => {
    // The kernel refuses to connect to the broadcast address without SO_BROADCAST; nothing is sent.
    expect(await resolveAddress('auto', { address: '255.255.255.255', port: 6969 })).toEqual({
      problem: expect.stringContaining('there is no route'),
    });
  });

  it.skipIf(needs('prlimit'))('is not none, but unknown, without free file descriptors', async () => {
    await withDescriptors(0, () => expect(resolveAddress('auto', GATEWAY)).rejects.toMatchObject({ code: 'EMFILE' }));
  });

  it('is the address of a configured interface, or none', async () => {
    expect(await resolveAddress(loopback, GATEWAY)).toEqual({ address: '127.0.0.1' });
    expect(await resolveAddress(loopback, { address: '100.64.0.1', port: 6969 })).toEqual({
      problem: `${loopback} has no address`,
    });
    expect(await resolveAddress('nosuch0', GATEWAY)).toEqual({ problem: 'nosuch0 has no address' });
  });

  it.skipIf(needs('ipv6'))('has the address family of the gateway', async () => {
    expect(await resolveAddress(loopback, { address: '::1', port: 6969 })).toEqual({ address: '::1' });
    expect(await resolveAddress('auto', { address: '::1', port: 6969 })).toEqual({ address: '::1' });
  });
});
