import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { judgeInterface, networkInterface } from '../../../../../agent/doctor/checks/network/interface.js';
import { expectJudgements, run } from '../../support.js';
import { MODEM_ONLY } from './support.js';

describe('the doctor’s interface check', () => {
  it('finds an address and an interface of this machine', async () => {
    const gateway = { address: '127.0.0.9' };
    expect(await run(networkInterface, { gateway, listen: { address: 'lo' } })).toMatchObject([{ severity: 'good' }]);
    expect(await run(networkInterface, { gateway, listen: { address: '127.3.4.5' } })).toMatchObject([
      { severity: 'good' },
    ]);
  });

  it('reports a missing address and interface: only a warning where a modem is the other link', async () => {
    const absent = { address: 'wwan77' };
    expect(Object.keys(networkInterfaces())).not.toContain('wwan77');
    expect(await run(networkInterface, { listen: absent })).toMatchObject([{ severity: 'error', code: 'link-down' }]);
    expect(await run(networkInterface, { listen: { address: '192.0.2.77' } })).toMatchObject([{ severity: 'error' }]);
    const spare = { listen: absent, modem: { path: '/dev/nowhere' } };
    expect(await run(networkInterface, spare)).toMatchObject([{ severity: 'warning', code: 'link-down' }]);
  });

  it('does not apply to an agent that uses only the modem', async () => {
    expect(await run(networkInterface, MODEM_ONLY)).toMatchObject([{ severity: 'note' }]);
  });
});

type Observation = Parameters<typeof judgeInterface>[0];

const CELLULAR: Observation = {
  isUsed: true,
  hasModem: false,
  listen: 'auto',
  isDevelopment: false,
  addresses: { lo: [], eth0: ['192.168.1.5'], wwan0: ['10.64.3.4'] },
  states: { lo: 'unknown', eth0: 'up', wwan0: 'up' },
  cellular: ['wwan0'],
};
const WITHOUT_ADDRESS = { addresses: { lo: [], eth0: ['192.168.1.5'], wwan0: [] } };
const WITHOUT_CELLULAR = { ...WITHOUT_ADDRESS, states: { lo: 'unknown', eth0: 'up' }, cellular: [] };

describe('judgeInterface', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['an agent without UDP', { isUsed: false }, [/^note: the agent uses only the modem/]],
    ['auto with a cellular interface', {}, [/^good: wwan0 has 10\.64\.3\.4$/]],
    [
      'auto with a cellular interface that has no address',
      { ...WITHOUT_ADDRESS, states: { ...CELLULAR.states, wwan0: 'down' } },
      [/^error link-down: wwan0 has no address; it is down → .*ip address show wwan0/],
    ],
    [
      'auto without a cellular interface',
      WITHOUT_CELLULAR,
      [/^error link-down: none found, so the agent does not listen; other interfaces .*: eth0 → .*`link\.interface`/],
    ],
    [
      'auto without a cellular interface beside a modem',
      { ...WITHOUT_CELLULAR, hasModem: true },
      [/^warning link-down: none found/],
    ],
    [
      'auto in development',
      { ...WITHOUT_CELLULAR, isDevelopment: true },
      [/^note: the gateway is on this host: a loopback address is used$/],
    ],
    [
      'auto without any interface',
      { addresses: {}, states: {}, cellular: [] },
      [/^error link-down: none found, .*; other interfaces with an address: none → /],
    ],
    ['a named interface', { listen: 'eth0' }, [/^good: it has 192\.168\.1\.5$/]],
    [
      'a named interface without an address',
      { ...WITHOUT_ADDRESS, listen: 'wwan0' },
      [/^error link-down: wwan0 has no address; it is up → /],
    ],
    [
      'a named interface without an address beside a modem',
      { ...WITHOUT_ADDRESS, listen: 'wwan0', hasModem: true },
      [/^warning link-down: wwan0 has no address/],
    ],
    [
      'a named interface that does not exist',
      { ...WITHOUT_CELLULAR, listen: 'wwan0' },
      [/^error link-down: no interface has this name → Interfaces: lo, eth0\. /],
    ],
    [
      'a named interface that does not exist beside a modem, on a machine without interfaces',
      { addresses: {}, states: {}, listen: 'wwan0', hasModem: true },
      [/^warning link-down: no interface has this name → Interfaces: none\. /],
    ],
    ['an address', { listen: '10.64.3.4' }, [/^good: assigned to wwan0$/]],
    ['a loopback address in development', { listen: '127.3.4.5', isDevelopment: true }, [/^good: assigned to lo$/]],
    ['a loopback address', { listen: '127.3.4.5' }, [/^error link-down: it is a loopback address, never a SIM’s: /]],
    ['a link-local address', { listen: 'FE80::1%wwan0' }, [/^error link-down: it is a link-local address, never /]],
    ['an address that no interface has', { listen: '10.64.3.5' }, [/^error link-down: no interface has it → Set /]],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeInterface({ ...CELLULAR, ...change }), expected);
  });
});
