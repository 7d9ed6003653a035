import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { interfaceRules, judgeInterfaceRules } from '../../../../../agent/doctor/checks/network/interface-rules.js';
import { parseNft } from '../../../../../agent/doctor/firewall/nft.js';
import type { Chain } from '../../../../../agent/doctor/firewall/rules.js';
import { formatRuleset } from '../../../../../agent/packet-filter/ruleset.js';
import { temporaryFolder, writeFile } from '../../../../support/files.js';
import { needs } from '../../../../support/needs.js';
import { expectJudgements, playProgram, run } from '../../support.js';
import { MODEM_ONLY } from './support.js';

describe('the doctor’s interface-rules check', () => {
  it('warns where there is no table, and names what rp_filter does not do', async () => {
    playProgram('nft', `echo '{"nftables":[]}'`);
    expect(await run(interfaceRules, { link: { interface: 'wwan0' } })).toMatchObject([
      {
        severity: 'warning',
        looked: 'table inet supersim_agent',
        remedy: 'Run `sudo supersim-agent secure --interface wwan0`.',
      },
      { severity: 'note', found: expect.stringContaining('it alone protects no port') },
    ]);
  });

  it('does not apply in development, and to an agent that uses only the modem', async () => {
    expect(await run(interfaceRules, { gateway: { address: '127.0.0.1' } })).toMatchObject([{ severity: 'note' }]);
    expect(await run(interfaceRules, MODEM_ONLY)).toMatchObject([{ severity: 'note' }]);
  });
});

type Observation = Parameters<typeof judgeInterfaceRules>[0];

const OBSERVED: Observation = {
  isUsed: true,
  isDevelopment: false,
  ports: [6969],
  interface: 'wwan0',
  chains: [],
  status: undefined,
  unit: 'enabled',
  rpFilter: {},
};
const status = (enforcement: 'enforced' | 'not-enforced' | 'unknown') => ({ enforcement, reason: 'so it is' });
const UNREADABLE = 'nft: Operation not permitted';

/** The rules as nft shows them, in a network namespace of its own. */
function loaded(name: string, ports: readonly number[]): Chain[] {
  const file = writeFile(temporaryFolder(), 'rules.nft', formatRuleset({ interface: name, ports }));
  const args = ['--net', 'sh', '-ec', `nft -f ${file}; nft -j list ruleset`];
  return parseNft(JSON.parse(execFileSync('unshare', args, { encoding: 'utf8' }))) ?? [];
}

describe('judgeInterfaceRules', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['no table', {}, [/^warning: there is none: every user .* can send to UDP 6969 → .*secure --interface wwan0`/]],
    ['no table, and no known interface', { interface: undefined }, [/^warning: .*secure --interface NAME`/]],
    [
      'rules that cannot be read, without an agent',
      { chains: UNREADABLE },
      [/^note: .*not permitted → Run it with sudo/],
    ],
    ['an agent that knows', { chains: UNREADABLE, status: status('enforced') }, [/^good: enforced: so it is$/]],
    ['an agent that does not', { chains: UNREADABLE, status: status('unknown') }, [/^note: unknown: .* with sudo\.$/]],
    [
      'an agent that gets datagrams of this host',
      { chains: UNREADABLE, status: status('not-enforced') },
      [/^warning: not enforced: so it is → .*secure --interface wwan0`/],
    ],
    [
      'values of rp_filter',
      { chains: UNREADABLE, rpFilter: { lo: 0, wwan0: 2, eth0: 1 } },
      [/^note: /, /^note: wwan0 2 \(loose\), eth0 1 \(strict\): it alone protects no port: /],
    ],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeInterfaceRules({ ...OBSERVED, ...change }), expected);
  });

  it.skipIf(needs('root', 'nft', 'unshare'))('compares the table with the configuration', () => {
    const chains = loaded('wwan0', [6969]);
    const judge = (change: Partial<Observation>, expected: RegExp) =>
      expectJudgements(judgeInterfaceRules({ ...OBSERVED, chains, ...change }), [expected]);
    judge({}, /^good: only wwan0 reaches UDP 6969$/);
    judge({ ports: [6969, 7001] }, /^error: it does not keep others from UDP 7001 → .*secure --interface wwan0`/);
    judge({ interface: 'ppp0' }, /^error: it also drops what arrives by ppp0 for UDP 6969 → .*--interface ppp0`/);
    judge({ interface: undefined }, /^note: it closes UDP 6969; the cellular interface is not known$/);
    judge({ unit: 'disabled' }, /^warning: .* not after the next boot: the unit is disabled → .*systemctl enable /);
    judge({ chains: chains.filter(({ hook }) => hook === 'input') }, /^error: it does not keep others from UDP 6969/);
    judge(
      { ports: [6969, 7001], chains: loaded('wwan0', [6969, 7001, 7002]) },
      /^good: only wwan0 reaches UDP 6969, 7001$/,
    );
  });
});
