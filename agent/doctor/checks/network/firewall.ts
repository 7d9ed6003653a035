import { TABLE } from '../../../packet-filter/ruleset.js';
import { interfaceOf } from '../../../transport/cellular.js';
import { listenOf } from '../../../transport/links/links.js';
import { resolveAddress } from '../../../transport/udp/address.js';
import { defineCheck } from '../../check.js';
import { usesUdp } from '../../context.js';
import { failure, good, type Judgement, note } from '../../finding.js';
import { readRules } from '../../firewall/read-rules.js';
import { type Chain, followPacket, type Packet } from '../../firewall/rules.js';

interface Observation {
  readonly isUsed: boolean;
  /** The program that listed the rules. */
  readonly source: string;
  /** The rules, or why they could not be listed. */
  readonly chains: readonly Chain[] | string;
  readonly ports: readonly number[];
  readonly gateway: { readonly address: string; readonly port: number };
  readonly address: string | undefined;
  readonly device: string | undefined;
  /** Address ranges that may send commands. */
  readonly allow: readonly string[];
}

/** How many rules a finding names. */
const MAX_NAMED = 4;

/** Checks whether the kernel's packet filter drops commands or their replies. */
export const firewall = defineCheck<Observation>({
  name: 'firewall',
  async look({ config }) {
    const { listen, gateway, link } = config;
    const { address } = await resolveAddress(listenOf(config), gateway);
    const { source, chains } = await readRules();
    return {
      isUsed: usesUdp(config),
      source,
      // The rules of `secure` have a check of their own.
      chains: typeof chains === 'string' ? chains : chains.filter(({ name }) => !name.startsWith(`${TABLE} `)),
      ports: listen.ports.map(({ port }) => port),
      gateway,
      address,
      device: link.interface ?? (address === undefined ? undefined : interfaceOf(address)),
      allow: config.allow,
    };
  },
  judge: judgeFirewall,
});

export function judgeFirewall(observed: Observation): Judgement[] {
  const { isUsed, source, chains, ports } = observed;
  if (!isUsed) return [note('link.policy', 'the agent uses only the modem: no packet filter applies')];
  if (typeof chains === 'string')
    return [note(source, chains, 'Run it with sudo; the check needs nft or iptables-save.')];
  const judgements = ports.flatMap((port) => [
    ...judgeDirection('in', port, chains, observed),
    ...judgeDirection('out', port, chains, observed),
  ]);
  if (judgements.length > 0) return judgements;
  return [good(source, `${chains.length} chains: no rule drops commands to UDP ${ports.join(', ')} or their replies`)];
}

function judgeDirection(
  direction: Packet['direction'],
  port: number,
  chains: readonly Chain[],
  observed: Observation,
): Judgement[] {
  const { source, gateway, address, device } = observed;
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
  const { droppedBy, blockingChain, possibleDrops } = followPacket(packet, chains);
  const what = isIn ? `commands to UDP ${port}` : `replies to ${gateway.address}:${gateway.port}`;
  if (blockingChain !== undefined) {
    const remedy = `Run \`${acceptRule(blockingChain, direction, port, observed)}\`, and add the rule to your firewall’s saved rules.`;
    return [failure(source, `${what} are dropped by ${named(droppedBy)}`, remedy)];
  }
  if (possibleDrops.length === 0) return [];
  return [
    note(
      source,
      `${what} may be dropped, on conditions that this check cannot evaluate, by ${named(possibleDrops)}`,
      'Inspect the rules with `sudo nft -a list ruleset`.',
    ),
  ];
}

function named(rules: readonly string[]): string {
  const all = [...new Set(rules)];
  return all.length > MAX_NAMED
    ? `${all.slice(0, MAX_NAMED).join('; ')} and ${all.length - MAX_NAMED} more`
    : all.join('; ');
}

/** Returns the command that accepts the datagrams, for the program that made the rules. */
function acceptRule(
  blockingChain: string,
  direction: Packet['direction'],
  port: number,
  { gateway, allow }: Observation,
): string {
  const [, table = '', chain = ''] = blockingChain.split(' ');
  const isIn = direction === 'in';
  const peer = isIn ? (allow[0] ?? gateway.address) : gateway.address;
  const to = isIn ? port : gateway.port;
  if (table === 'firewalld')
    return `sudo firewall-cmd --permanent --add-port=${port}/udp && sudo firewall-cmd --reload`;
  // iptables writes its chains' names in capitals, also into nft's ruleset.
  if (chain === chain.toUpperCase()) {
    return `sudo iptables -t ${table} -I ${chain} -p udp ${isIn ? '-s' : '-d'} ${peer} --dport ${to} -j ACCEPT`;
  }
  const ip = peer.includes(':') ? 'ip6' : 'ip';
  return `sudo nft insert rule ${blockingChain} ${ip} ${isIn ? 'saddr' : 'daddr'} ${peer} udp dport ${to} accept`;
}
