import { describe, expect, it } from 'vitest';
import { parseIptables } from '../../../agent/doctor/firewall/iptables.js';
import { parseNft } from '../../../agent/doctor/firewall/nft.js';
import { type Chain, followPacket, type Packet } from '../../../agent/doctor/firewall/rules.js';
import { fromJson } from '../../../agent/doctor/unit.js';
import { type Host, twoHosts } from '../../support/namespaces.js';
import { needs } from '../../support/needs.js';
import type { Running } from '../../support/process.js';

const GATEWAY = '100.64.0.1';
const DEVICE = '100.64.5.6';
/** As long as nothing filters, a datagram takes less than a millisecond. */
const WAIT_MS = 250;

const PACKET: Packet = {
  direction: 'in',
  source: GATEWAY,
  // As good as any other that is not named below.
  sourcePort: 40_000,
  destination: DEVICE,
  destinationPort: 6969,
  interface: 'wwan0',
};

const INPUT = 'chain input { type filter hook input priority 0;';
const filter = (policy: string, rules: string) => `table inet filter { ${INPUT} policy ${policy}; ${rules}\n } }`;

/** Rulesets of nft, each with whether a command comes through; the kernel is asked too. */
const NFT: readonly (readonly [rules: string, passes: boolean])[] = [
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

/** The same of iptables. */
const IPTABLES: readonly (readonly [rules: readonly string[], passes: boolean])[] = [
  [['-P INPUT DROP'], false],
  [
    ['-P INPUT DROP', '-A INPUT -p udp -m multiport --dports 53,6960:6970 -m comment --comment "let in" -j ACCEPT'],
    true,
  ],
  [['-A INPUT -p udp --dport 6969 -j REJECT --reject-with icmp-port-unreachable'], false],
  [['-A INPUT ! -s 100.64.0.0/10 -j DROP', '-A INPUT -i eth+ -j DROP', '-A INPUT -p tcp -j DROP'], true],
  [
    [
      '-N own',
      '-A INPUT -i wwan0 -g own',
      '-A INPUT -j ACCEPT',
      '-A own -s 203.0.113.0/24 -j RETURN',
      '-A own -j DROP',
    ],
    false,
  ],
  [
    [
      '-P INPUT DROP',
      '-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A INPUT -m state --state NEW -p udp -j ACCEPT',
    ],
    true,
  ],
  [['-t raw -A PREROUTING -p udp --dport 6000:7000 -j DROP'], false],
];

/** A device and its gateway; the device prints each datagram that comes. */
async function network() {
  const [gateway, device] = twoHosts();
  gateway.ip('address', 'add', `${GATEWAY}/10`, 'dev', 'wwan0');
  device.ip('address', 'add', `${DEVICE}/10`, 'dev', 'wwan0');
  const listen = `require('dgram').createSocket('udp4').on('message', (text) => console.log('got ' + text)).bind(6969, '${DEVICE}', () => console.log('bound'))`;
  const receiver = device.start(process.execPath, ['-e', listen]);
  await receiver.line(/bound/);
  return { gateway, device, receiver };
}

let sent = 0;

/** Whether a datagram comes through. */
async function comesThrough(gateway: Host, receiver: Running): Promise<boolean> {
  const text = `datagram ${++sent}.`;
  const send = `const s = require('dgram').createSocket('udp4').send('${text}', 6969, '${DEVICE}', () => setTimeout(() => s.close(), 50))`;
  await gateway.start(process.execPath, ['-e', send]).ended;
  const until = performance.now() + WAIT_MS;
  while (performance.now() < until && !receiver.output().includes(text)) await new Promise((go) => setTimeout(go, 5));
  return receiver.output().includes(text);
}

async function outputOf(host: Host, file: string, ...args: string[]): Promise<string> {
  const running = host.start(file, args);
  expect(await running.ended, running.output()).toBe(0);
  return running.output();
}

const judged = (chains: readonly Chain[] | undefined): boolean | undefined => {
  if (chains === undefined) return undefined;
  const { closed, suspects } = followPacket(PACKET, chains);
  expect(suspects).toEqual([]);
  return closed === undefined;
};

describe.skipIf(needs('root', 'ip', 'nft', 'iptables-save'))('what becomes of a command', () => {
  it('is judged from nft’s rules as the kernel does it', async () => {
    const { gateway, device, receiver } = await network();
    // The neighbours know each other from here on: what asks for them is no UDP.
    expect(await comesThrough(gateway, receiver)).toBe(true);
    for (const [rules, passes] of NFT) {
      await outputOf(device, 'nft', 'flush', 'ruleset');
      // A block ends a line.
      await outputOf(device, 'nft', rules.replaceAll(/(?<=[;}\n] ?)\}/g, '\n}\n'));
      const chains = parseNft(fromJson(await outputOf(device, 'nft', '-j', 'list', 'ruleset')));
      expect([rules, judged(chains)]).toEqual([rules, passes]);
      expect([rules, await comesThrough(gateway, receiver)]).toEqual([rules, passes]);
    }
  }, 60_000);

  it('is judged from iptables’ rules as the kernel does it, as it tells them and as nft does', async () => {
    const { gateway, device, receiver } = await network();
    expect(await comesThrough(gateway, receiver)).toBe(true);
    for (const [rules, passes] of IPTABLES) {
      await outputOf(device, 'nft', 'flush', 'ruleset');
      for (const rule of rules) await outputOf(device, 'sh', '-c', `iptables ${rule}`);
      const saved = parseIptables(await outputOf(device, 'iptables-save'));
      expect([rules, judged(saved)]).toEqual([rules, passes]);
      expect([rules, await comesThrough(gateway, receiver)]).toEqual([rules, passes]);
      const chains = parseNft(fromJson(await outputOf(device, 'nft', '-j', 'list', 'ruleset'))) ?? [];
      const { closed, droppedBy } = followPacket(PACKET, chains);
      // What nft cannot put into words of its own it leaves open.
      if (passes) expect([rules, closed]).toEqual([rules, undefined]);
      else expect([rules, droppedBy]).not.toEqual([rules, []]);
    }
  }, 60_000);
});
