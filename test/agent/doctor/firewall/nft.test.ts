import { describe, expect, it } from 'vitest';
import { parseNft } from '../../../../agent/doctor/firewall/nft.js';
import { fromJson } from '../../../../agent/doctor/systemd-unit.js';
import { needs } from '../../../support/needs.js';
import { accepts, arrives, network, outputOf } from './support.js';

const INPUT = 'chain input { type filter hook input priority 0;';
const filter = (policy: string, rules: string) => `table inet filter { ${INPUT} policy ${policy}; ${rules}\n } }`;

/** Rulesets, each with whether they accept a command; the kernel is asked too. */
const RULESETS: readonly (readonly [rules: string, passes: boolean])[] = [
  [filter('accept', ''), true],
  [filter('drop', ''), false],
  [filter('drop', 'ct state established,related accept\niif lo accept\ntcp dport 22 accept'), false],
  [filter('drop', 'udp dport { 53, 6960-6999 } accept'), true],
  [filter('accept', 'udp dport 6969 drop'), false],
  [filter('accept', 'udp dport 6969 counter log reject'), false],
  [filter('accept', 'tcp dport 6969 drop\nudp sport 53 drop\nudp dport != 6969 drop'), true],
  [filter('drop', 'ip saddr 100.64.0.0/10 meta l4proto udp accept'), true],
  [filter('drop', 'ip saddr != 100.64.0.0/10 accept'), false],
  [filter('accept', 'iifname "wwan*" ip protocol udp drop'), false],
  [filter('accept', 'iifname "eth0" drop\nip6 saddr ::/0 drop\noifname "wwan0" drop'), true],
  [
    filter(
      'drop',
      'ct state vmap { established : accept, invalid : drop, new : jump fresh }\n} chain fresh { ip daddr 100.64.5.6 accept',
    ),
    true,
  ],
  [
    filter('drop', 'meta l4proto vmap { tcp : accept, udp : goto none }\nudp dport 6969 accept\n} chain none { return'),
    false,
  ],
  [filter('drop', 'jump some\nudp dport 6969 accept\n} chain some { udp dport 6969 return\n drop'), true],
  [
    `table ip t { set banned { type ipv4_addr; flags interval; elements = { 100.64.0.0/24, 203.0.113.1 } }\n${INPUT} ip saddr @banned drop; } }`,
    false,
  ],
  [
    `table ip t { set known { type inet_service; elements = { 53, 6969 } }\n${INPUT} policy drop; udp dport @known accept; } }`,
    true,
  ],
  [`table ip raw { chain pre { type filter hook prerouting priority -300; udp dport 6969 drop; } }`, false],
  [`table ip6 filter { ${INPUT} policy drop; } }`, true],
  [
    `table inet a { ${INPUT} accept; } } table inet b { chain input { type filter hook input priority 10; policy drop; } }`,
    false,
  ],
];

describe.skipIf(needs('root', 'ip', 'nft'))('parseNft and followPacket', () => {
  it('judge nft’s rules as the kernel applies them', async () => {
    const { gateway, device, receiver } = await network();
    // Resolves the neighbours first: their discovery is not UDP.
    expect(await arrives(gateway, receiver)).toBe(true);
    for (const [rules, passes] of RULESETS) {
      await outputOf(device, 'nft', 'flush', 'ruleset');
      // nft wants a block to end a line.
      await outputOf(device, 'nft', rules.replaceAll(/(?<=[;}\n] ?)\}/g, '\n}\n'));
      const chains = parseNft(fromJson(await outputOf(device, 'nft', '-j', 'list', 'ruleset')));
      expect([rules, accepts(chains)]).toEqual([rules, passes]);
      expect([rules, await arrives(gateway, receiver)]).toEqual([rules, passes]);
    }
  }, 60_000);
});
