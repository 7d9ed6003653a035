import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { judgeRoute, route } from '../../../../../agent/doctor/checks/network/route.js';
import { expectJudgements, run } from '../../support.js';
import { MODEM_ONLY } from './support.js';

describe('the doctor’s route check', () => {
  const gateway = { address: '127.0.0.1' };

  it('finds the route by a named interface and from an address', async () => {
    expect(await run(route, { listen: { address: 'lo' }, gateway })).toMatchObject([{ severity: 'good' }]);
    expect(await run(route, { listen: { address: '127.3.4.5' }, gateway })).toMatchObject([{ severity: 'good' }]);
  });

  it('tells how to route by an interface that the route does not take', async () => {
    expect(Object.keys(networkInterfaces())).not.toContain('wwan77');
    expect(await run(route, { listen: { address: 'wwan77' }, gateway })).toMatchObject([
      { severity: 'error', remedy: expect.stringContaining('ip route add 127.0.0.1/32 dev wwan77') },
    ]);
  });

  it('does not apply to an agent that uses only the modem', async () => {
    expect(await run(route, MODEM_ONLY)).toMatchObject([{ severity: 'note' }]);
  });
});

type Observation = Parameters<typeof judgeRoute>[0];

const CELLULAR: Observation = {
  isUsed: true,
  hasModem: false,
  gateway: '100.64.0.1',
  source: '10.64.3.4',
  device: 'wwan0',
  named: undefined,
  address: undefined,
  cellular: ['wwan0'],
};
const NO_ROUTE = { source: undefined, device: undefined };
const ETHERNET = { source: '192.168.1.5', device: 'eth0' };
const ADD = 'sudo ip route add 100\\.64\\.0\\.1/32 dev';

describe('judgeRoute', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['an agent without UDP', { isUsed: false }, [/^note: the agent uses only the modem/]],
    ['the cellular interface', {}, [/^good: by wwan0, source 10\.64\.3\.4$/]],
    ['a second cellular interface', { device: 'ppp0' }, [/^good: by ppp0/]],
    ['no route', NO_ROUTE, [new RegExp(`^error link-down: there is no route.* → Add a route: .*${ADD} wwan0`)]],
    [
      'no route to an IPv6 gateway',
      { ...NO_ROUTE, gateway: 'fd00::1' },
      [/^error link-down: .*`sudo ip -6 route add fd00::1\/128 dev wwan0`$/],
    ],
    [
      'no route and no cellular interface',
      { ...NO_ROUTE, cellular: [] },
      [new RegExp(`^error link-down: .* → Bring the cellular interface up; .*${ADD} wwan0`)],
    ],
    ['no route beside a modem', { ...NO_ROUTE, hasModem: true }, [/^warning link-down: there is no route/]],
    ['a listen address, whatever the interface', { ...ETHERNET, address: '192.168.1.5' }, [/^good: by eth0/]],
    [
      'another interface than the cellular one',
      ETHERNET,
      [new RegExp(`^error link-down: replies leave by eth0.* instead of by wwan0.* → Add a route: .*${ADD} wwan0`)],
    ],
    [
      'another interface than the named one, beside a modem',
      { named: 'wwan1', hasModem: true },
      [new RegExp(`^warning link-down: .*instead of by wwan1.*${ADD} wwan1`)],
    ],
    [
      'another interface than the named one, for a listen address',
      { ...ETHERNET, address: '192.168.1.5', named: 'wwan0' },
      [/^error link-down: /],
    ],
    ['the named interface', { ...ETHERNET, named: 'eth0' }, [/^good: by eth0/]],
    [
      'an interface that is not known to be cellular',
      { ...ETHERNET, cellular: [] },
      [/^warning: replies leave by eth0.*: not known to be .*`link\.interface: eth0`/],
    ],
    ['the loopback interface', { source: '127.0.0.1', device: 'lo', cellular: [] }, [/^good: by lo/]],
    ['a source that no interface has', { device: undefined, address: '10.64.3.4' }, [/^good: by an unknown interface/]],
  ])('judges a route by %s', (_what, change, expected) => {
    expectJudgements(judgeRoute({ ...CELLULAR, ...change }), expected);
  });
});
