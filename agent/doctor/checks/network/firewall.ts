import { interfaceOf } from '../../../transport/links/reach.js';
import { resolveAddress } from '../../../transport/udp/address.js';
import { defineCheck } from '../../check.js';
import { usesUdp } from '../../context.js';
import { fault, good, type Judgement, note } from '../../finding.js';
import { parseIptables } from '../../firewall/iptables.js';
import { parseNft } from '../../firewall/nft.js';
import { type Chain, followPacket, type Packet } from '../../firewall/rules.js';
import { runProgram } from '../../run-program.js';
import { fromJson } from '../../unit.js';

interface Seen {
  readonly isUsed: boolean;
  /** What was looked at. */
  readonly source: string;
  /** The rules, or why they could not be looked at. */
  readonly chains: readonly Chain[] | string;
  readonly ports: readonly number[];
  readonly gateway: { readonly address: string; readonly port: number };
  readonly address: string | undefined;
  readonly device: string | undefined;
  /** Who may send commands. */
  readonly allow: readonly string[];
}

/** How many of the rules are named. */
const NAMED = 4;

/** Whether rules of the kernel's packet filter drop commands or their replies. */
export const firewall = defineCheck<Seen>({
  name: 'firewall',
  async look({ config }) {
    const { listen, gateway, link } = config;
    const address = await resolveAddress(listen.address, gateway);
    return {
      isUsed: usesUdp(config),
      ...(await readRules()),
      ports: listen.ports.map(({ port }) => port),
      gateway,
      address,
      device: link.interface ?? (address === undefined ? undefined : interfaceOf(address)),
      allow: config.allow,
    };
  },
  judge: judgeFirewall,
});

/** What iptables of today writes is in nft's ruleset too. */
async function readRules(): Promise<Pick<Seen, 'source' | 'chains'>> {
  const nft = await runProgram('nft', ['-j', 'list', 'ruleset'], { maxBytes: 8 * 1024 * 1024 });
  if (nft.failed === undefined) {
    const chains = parseNft(fromJson(nft.stdout));
    return { source: 'nft list ruleset', chains: chains ?? 'nft printed what is no ruleset' };
  }
  if (nft.missing === undefined) return { source: 'nft list ruleset', chains: nft.failed };
  const saved = await runProgram('iptables-save', []);
  const source = 'iptables-save';
  if (saved.failed === undefined) return { source, chains: parseIptables(saved.stdout) };
  const chains = saved.missing ? 'neither nft nor iptables is installed to look with' : saved.failed;
  return { source: saved.missing ? 'packet filter' : source, chains };
}

export function judgeFirewall(seen: Seen): Judgement[] {
  const { isUsed, source, chains, ports } = seen;
  if (!isUsed) return [note('link.policy', 'only the modem is used: no firewall is in its way')];
  if (typeof chains === 'string')
    return [note(source, chains, 'Run it with sudo; a firewall needs one of these programs to be looked at.')];
  const judgements = ports.flatMap((port) => [
    ...judgeWay('in', port, chains, seen),
    ...judgeWay('out', port, chains, seen),
  ]);
  if (judgements.length > 0) return judgements;
  return [good(source, `${chains.length} chains: no rule drops commands to UDP ${ports.join(', ')}, or replies`)];
}

function judgeWay(direction: Packet['direction'], port: number, chains: readonly Chain[], seen: Seen): Judgement[] {
  const { source, gateway, address, device } = seen;
  const isIn = direction === 'in';
  const packet: Packet = isIn
    ? {
        direction,
        source: gateway.address,
        sourcePort: undefined,
        destination: address,
        destinationPort: port,
        interface: device,
      }
    : {
        direction,
        source: address,
        sourcePort: port,
        destination: gateway.address,
        destinationPort: gateway.port,
        interface: device,
      };
  const { droppedBy, closed, suspects } = followPacket(packet, chains);
  const what = isIn ? `commands to UDP ${port}` : `replies to ${gateway.address}:${gateway.port}`;
  if (closed !== undefined) {
    const remedy = `Run \`${passing(closed, direction, port, seen)}\`, and make it last where your firewall keeps its rules.`;
    return [fault(source, `${what} are dropped by ${named(droppedBy)}`, remedy)];
  }
  if (suspects.length === 0) return [];
  return [
    note(
      source,
      `${what} may be dropped, on conditions that cannot be judged here, by ${named(suspects)}`,
      'Look at it with `sudo nft -a list ruleset`.',
    ),
  ];
}

function named(rules: readonly string[]): string {
  const all = [...new Set(rules)];
  return all.length > NAMED ? `${all.slice(0, NAMED).join('; ')} and ${all.length - NAMED} more` : all.join('; ');
}

/** What lets it through, in the words of the program that made the rules. */
function passing(closed: string, direction: Packet['direction'], port: number, { gateway, allow }: Seen): string {
  const [, table = '', chain = ''] = closed.split(' ');
  const isIn = direction === 'in';
  const peer = isIn ? (allow[0] ?? gateway.address) : gateway.address;
  const to = isIn ? port : gateway.port;
  if (table === 'firewalld')
    return `sudo firewall-cmd --permanent --add-port=${port}/udp && sudo firewall-cmd --reload`;
  // The names of its chains are in capitals, also where it writes them into nft's ruleset.
  if (chain === chain.toUpperCase()) {
    return `sudo iptables -t ${table} -I ${chain} -p udp ${isIn ? '-s' : '-d'} ${peer} --dport ${to} -j ACCEPT`;
  }
  const ip = peer.includes(':') ? 'ip6' : 'ip';
  return `sudo nft insert rule ${closed} ${ip} ${isIn ? 'saddr' : 'daddr'} ${peer} udp dport ${to} accept`;
}
