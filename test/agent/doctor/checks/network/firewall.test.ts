import { describe, expect, it } from 'vitest';
import { firewall, judgeFirewall } from '../../../../../agent/doctor/checks/network/firewall.js';
import { parseIptables } from '../../../../../agent/doctor/firewall/iptables.js';
import type { Chain } from '../../../../../agent/doctor/firewall/rules.js';
import { expectJudgements, playProgram, run } from '../../support.js';
import { MODEM_ONLY } from './support.js';

describe('the doctor’s firewall check', () => {
  it('reads the rules of nft', async () => {
    playProgram('nft', `echo '{"nftables":[]}'`);
    expect(await run(firewall)).toMatchObject([
      { severity: 'good', looked: 'nft list ruleset', found: expect.stringContaining('0 chains') },
    ]);
  });

  it('says why the rules cannot be listed', async () => {
    playProgram('nft', 'echo "Operation not permitted" >&2; exit 1');
    expect(await run(firewall)).toMatchObject([{ severity: 'note', found: 'nft: Operation not permitted' }]);
    playProgram('nft', 'echo hello');
    expect(await run(firewall)).toMatchObject([{ severity: 'note', found: 'the output of nft is not a ruleset' }]);
  });

  it('does not apply to an agent that uses only the modem', async () => {
    expect(await run(firewall, MODEM_ONLY)).toMatchObject([{ severity: 'note' }]);
  });
});

type Observation = Parameters<typeof judgeFirewall>[0];

const base = (name: string, hook: string, rules: Chain['rules'] = [], policy: Chain['policy'] = 'drop'): Chain => ({
  name,
  hook,
  policy,
  rules,
});
const maybe = (text: string) => ({ text, conditions: [() => undefined], verdict: 'drop' as const });
const OPEN: Observation = {
  isUsed: true,
  source: 'nft list ruleset',
  chains: [],
  ports: [6969],
  gateway: { address: '100.64.0.1', port: 6969 },
  address: '10.64.3.4',
  device: 'wwan0',
  allow: ['100.64.0.0/10'],
};

describe('judgeFirewall', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['no rules', {}, [/^good: 0 chains: no rule drops commands to UDP 6969 /]],
    ['an agent without UDP', { isUsed: false }, [/^note: the agent uses only the modem/]],
    ['rules that cannot be listed', { chains: 'not permitted' }, [/^note: not permitted → Run it with sudo/]],
    [
      'an nft chain that drops commands',
      { chains: [base('inet filter input', 'input')] },
      [
        /^error: commands to UDP 6969 are dropped by the policy of inet filter input → .*`sudo nft insert rule inet filter input ip saddr 100\.64\.0\.0\/10 udp dport 6969 accept`/,
      ],
    ],
    [
      'an nft chain that drops commands while nothing is allowed',
      { chains: [base('inet filter input', 'input')], allow: [] },
      [/^error: .* ip saddr 100\.64\.0\.1 udp dport 6969 accept`/],
    ],
    [
      'an nft chain that drops replies',
      { chains: [base('inet filter output', 'output')] },
      [
        /^error: replies to 100\.64\.0\.1:6969 are dropped .*`sudo nft insert rule inet filter output ip daddr 100\.64\.0\.1 udp dport 6969 accept`/,
      ],
    ],
    [
      'an nft chain that drops replies by IPv6',
      {
        chains: [base('inet filter output', 'output')],
        gateway: { address: 'fd00::1', port: 6969 },
        address: 'fd00::2',
      },
      [/^error: .* ip6 daddr fd00::1 udp dport 6969 accept`/],
    ],
    [
      'a chain of firewalld',
      { chains: [base('inet firewalld filter_INPUT', 'input')] },
      [/^error: .*`sudo firewall-cmd --permanent --add-port=6969\/udp && /],
    ],
    [
      'a chain of iptables that drops commands',
      { chains: parseIptables('*filter\n:INPUT DROP [0:0]\nCOMMIT') },
      [/^error: .*`sudo iptables -t filter -I INPUT -p udp -s 100\.64\.0\.0\/10 --dport 6969 -j ACCEPT`/],
    ],
    [
      'a chain of iptables that drops replies',
      { chains: parseIptables('*filter\n:OUTPUT DROP [0:0]\nCOMMIT') },
      [/^error: .*`sudo iptables -t filter -I OUTPUT -p udp -d 100\.64\.0\.1 --dport 6969 -j ACCEPT`/],
    ],
    [
      'rules that may drop commands',
      { chains: [base('ip a b', 'input', [maybe('rule 1'), maybe('rule 1'), maybe('rule 2')], 'accept')] },
      [/^note: commands to UDP 6969 may be dropped, .* by rule 1; rule 2 → /],
    ],
    [
      'more rules than are named',
      { chains: [base('ip a b', 'input', ['1', '2', '3', '4', '5', '6'].map(maybe), 'accept')] },
      [/^note: .* by 1; 2; 3; 4 and 2 more → /],
    ],
    [
      'both directions of every port',
      { chains: [base('ip a input', 'input'), base('ip a output', 'output')], ports: [6969, 6970] },
      [/commands to UDP 6969/, /replies/, /commands to UDP 6970/, /replies/],
    ],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeFirewall({ ...OPEN, ...change }), expected);
  });
});
