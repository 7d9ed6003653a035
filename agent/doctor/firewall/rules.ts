import { BlockList, isIP } from 'node:net';

/** A datagram to trace through the rules, as far as it is known in advance. */
export interface Packet {
  readonly direction: 'in' | 'out';
  readonly source: string | undefined;
  readonly sourcePort: number | undefined;
  readonly destination: string | undefined;
  readonly destinationPort: number;
  /** The interface that it enters or leaves by. */
  readonly interface: string | undefined;
}

/** Whether a condition holds; undefined where that depends on unknown properties. */
export type Match = boolean | undefined;
export type Condition = (packet: Packet) => Match;
export type Verdict = 'accept' | 'drop' | 'return' | { readonly jump: string } | { readonly goto: string };

export interface Rule {
  /** How an operator finds the rule. */
  readonly text: string;
  /** All must hold. */
  readonly conditions: readonly Condition[];
  readonly verdict: Verdict;
}

export interface Chain {
  readonly name: string;
  /** The netfilter hook of a base chain: `prerouting`, `input`, `output` or `postrouting`. */
  readonly hook?: string | undefined;
  /** IP version; undefined for both. */
  readonly version?: 4 | 6 | undefined;
  readonly policy: 'accept' | 'drop';
  readonly rules: readonly Rule[];
}

/** What the rules do with a packet. */
export interface PacketTrace {
  /** The rules and policies that certainly drop it. */
  readonly droppedBy: readonly string[];
  /** The first base chain that never accepts it. */
  readonly blockingChain?: string | undefined;
  /** The rules and policies that may drop it. */
  readonly possibleDrops: readonly string[];
}

const HOOKS: Readonly<Record<Packet['direction'], readonly string[]>> = {
  in: ['prerouting', 'input'],
  out: ['output', 'postrouting'],
};
/** The kernel rejects loops of chains; this bounds what was parsed wrongly. */
const MAX_DEPTH = 32;

/** What a chain may do with a packet. */
interface ChainResult {
  readonly accepts: boolean;
  /** The packet may reach the chain's end. */
  readonly fallsThrough: boolean;
  /** The rules that may drop it. */
  readonly drops: readonly string[];
}

/** Traces a packet through the base chains of its direction. The next one may drop what the one before accepted. */
export function followPacket(packet: Packet, chains: readonly Chain[]): PacketTrace {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const droppedBy: string[] = [];
  const possibleDrops: string[] = [];
  let blockingChain: string | undefined;
  for (const chain of chains) {
    if (!HOOKS[packet.direction].includes(chain.hook ?? '')) continue;
    if (chain.version !== undefined && chain.version !== versionOf(packet)) continue;
    const { accepts, fallsThrough, drops } = walk(chain, 0);
    const dropping = fallsThrough && chain.policy === 'drop' ? [...drops, `the policy of ${chain.name}`] : drops;
    const passes = accepts || (fallsThrough && chain.policy === 'accept');
    if (!passes) blockingChain ??= chain.name;
    (passes ? possibleDrops : droppedBy).push(...dropping);
  }
  return { droppedBy, blockingChain, possibleDrops };

  function walk({ rules }: Chain, depth: number): ChainResult {
    let accepts = false;
    const drops: string[] = [];
    let returns = false;
    for (const rule of rules) {
      const matches = allOf(rule.conditions.map((condition) => condition(packet)));
      if (matches === false) continue;
      const result = applyVerdict(rule, depth);
      accepts ||= result.accepts;
      drops.push(...result.drops);
      returns ||= result.returns;
      if (matches === true && !result.continues) return { accepts, drops, fallsThrough: returns };
    }
    return { accepts, drops, fallsThrough: true };
  }

  function applyVerdict({ verdict, text }: Rule, depth: number) {
    if (verdict === 'accept') return { accepts: true, drops: [], returns: false, continues: false };
    if (verdict === 'drop') return { accepts: false, drops: [text], returns: false, continues: false };
    if (verdict === 'return') return { accepts: false, drops: [], returns: true, continues: false };
    const isJump = 'jump' in verdict;
    const chain = byName.get(isJump ? verdict.jump : verdict.goto);
    if (chain === undefined || depth === MAX_DEPTH)
      return { accepts: false, drops: [], returns: false, continues: true };
    const { accepts, drops, fallsThrough } = walk(chain, depth + 1);
    return { accepts, drops, returns: fallsThrough && !isJump, continues: fallsThrough && isJump };
  }
}

/** Returns the IP version of a packet: 4 where no address is known. */
export const versionOf = ({ source, destination }: Packet): 4 | 6 =>
  (source ?? destination ?? '').includes(':') ? 6 : 4;

function allOf(conditions: readonly Match[]): Match {
  if (conditions.includes(false)) return false;
  return conditions.includes(undefined) ? undefined : true;
}

export const not = (matches: Match): Match => (matches === undefined ? undefined : !matches);

/** Whether one of several alternatives holds. */
export function anyOf(matches: readonly Match[]): Match {
  if (matches.includes(true)) return true;
  return matches.includes(undefined) ? undefined : false;
}

/** Whether an address is in a range such as `100.64.0.0/10`, or equals a single address. */
export function inRange(address: string | undefined, range: string): Match {
  if (address === undefined) return undefined;
  const [network = '', length] = range.split('/');
  const family = isIP(network);
  if (family === 0) return undefined;
  if (family !== isIP(address)) return false;
  const list = new BlockList();
  const type = family === 6 ? 'ipv6' : 'ipv4';
  list.addSubnet(network, Number(length ?? (family === 6 ? 128 : 32)), type);
  return list.check(address, type);
}

/** @param wildcard the character that stands for any suffix */
export function isInterface(name: string | undefined, pattern: string, wildcard: string): Match {
  if (name === undefined) return undefined;
  return pattern.endsWith(wildcard) ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
