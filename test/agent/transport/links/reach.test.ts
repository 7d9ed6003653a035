import { networkInterfaces } from 'node:os';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { routeProblem } from '../../../../agent/transport/links/reach.js';
import { interfacesOf } from '../../../support/links.js';

vi.mock('node:os', { spy: true });

/** Sent nothing: sockets are only connected. */
const HERE = { address: '127.0.0.9', port: 6969 };

/** The interface that the kernel routes to this machine by is called what the test wants. */
function interfaces(all: Record<string, string[]>): void {
  vi.mocked(networkInterfaces).mockReturnValue(interfacesOf(all));
  onTestFinished(() => void vi.mocked(networkInterfaces).mockReset());
}

describe('the gateway over UDP', () => {
  beforeEach(() => vi.mocked(networkInterfaces).mockReset());

  it.each([
    ['by a configured interface', { listen: '127.0.0.5', interface: 'wwan0' }, ['wwan0'], true],
    ['by an interface that is configured to listen on', { listen: 'wwan0', interface: undefined }, ['wwan0'], true],
    [
      'by an interface without a cellular name, when it is configured',
      { listen: 'auto', interface: 'usb0' },
      ['usb0'],
      true,
    ],
    ['not when the route uses another interface', { listen: 'wwan0', interface: undefined }, ['eth0', 'wwan0'], false],
    ['not when the configured interface has no address', { listen: 'auto', interface: 'wwan0' }, ['eth0'], false],
    ['by an interface with a cellular name: wwan0', { listen: 'auto', interface: undefined }, ['wwan0'], true],
    [
      'by an interface with a cellular name: wwp0s20u4i4',
      { listen: 'auto', interface: undefined },
      ['wwp0s20u4i4'],
      true,
    ],
    ['by an interface with a cellular name: ppp0', { listen: 'auto', interface: undefined }, ['ppp0'], true],
    ['not by an interface without a cellular name: eth0', { listen: 'auto', interface: undefined }, ['eth0'], false],
    ['not by an interface without a cellular name: wlan0', { listen: 'auto', interface: undefined }, ['wlan0'], false],
    ['by a configured address, with any interface', { listen: '127.0.0.1', interface: undefined }, ['eth0'], true],
  ] as const)('is reached %s', async (_, configured, [first, ...others], reached) => {
    interfaces({ [first]: ['127.0.0.1'], ...Object.fromEntries(others.map((name) => [name, ['127.0.0.5']])) });
    const why = await routeProblem({ ...configured, gateway: HERE }, '127.0.0.1');
    expect(typeof why).toBe(reached ? 'undefined' : 'string');
  });

  it('is not reached without a route', async () => {
    // From an address of this machine alone to one that is not, in the range for documentation.
    const gateway = { address: '192.0.2.1', port: 6969 };
    expect(await routeProblem({ listen: '127.0.0.1', interface: undefined, gateway }, '127.0.0.1')).toMatch(
      /127\.0\.0\.1/,
    );
    expect(await routeProblem({ listen: 'lo', interface: undefined, gateway }, '127.0.0.1')).toMatch(/192\.0\.2\.1/);
  });
});
