import { BlockList, isIP } from 'node:net';

/** A datagram that the firewall may see, as far as it is known beforehand. */
export interface Packet {
  readonly direction: 'in' | 'out';
  readonly source: string | undefined;
  readonly sourcePort: number | undefined;
  readonly destination: string | undefined;
  readonly destinationPort: number;
  /** Where it comes in, or goes out. */
  readonly interface: string | undefined;
}

/** Undefined: it depends on more than is known. */
export type Fits = boolean | undefined;
export type Condition = (packet: Packet) => Fits;
export type Verdict = 'accept' | 'drop' | 'return' | { readonly jump: string } | { readonly goto: string };

export interface Rule {
  /** What a person finds it by. */
  readonly text: string;
  /** All must hold. */
  readonly conditions: readonly Condition[];
  readonly verdict: Verdict;
}

export interface Chain {
  readonly name: string;
  /** Where packets come to it by themselves: `prerouting`, `input`, `output` or `postrouting`. */
  readonly hook?: string | undefined;
  /** Version of IP; undefined for both. */
  readonly version?: 4 | 6 | undefined;
  readonly policy: 'accept' | 'drop';
  readonly rules: readonly Rule[];
}

/** What becomes of a packet. */
export interface Fate {
  /** What drops it, whatever else is true of it. */
  readonly droppedBy: readonly string[];
  /** The chain, one with a hook, that lets it through in no case. */
  readonly closed?: string | undefined;
  /** What may drop it. */
  readonly suspects: readonly string[];
}

const HOOKS: Readonly<Record<Packet['direction'], readonly string[]>> = {
  in: ['prerouting', 'input'],
  out: ['output', 'postrouting'],
};
/** Chains do not go round in a circle; this is for what was read wrongly. */
const MAX_DEPTH = 32;

/** All that a chain can do with a packet. */
interface Ends {
  readonly accepts: boolean;
  /** It comes to the chain's end. */
  readonly falls: boolean;
  /** The rules by which it is dropped. */
  readonly drops: readonly string[];
}

/** Follows a packet through the chains of its way. One that a chain accepts may still be dropped by the next. */
export function followPacket(packet: Packet, chains: readonly Chain[]): Fate {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const droppedBy: string[] = [];
  const suspects: string[] = [];
  let closed: string | undefined;
  for (const chain of chains) {
    if (!HOOKS[packet.direction].includes(chain.hook ?? '')) continue;
    if (chain.version !== undefined && chain.version !== versionOf(packet)) continue;
    const { accepts, falls, drops } = walk(chain, 0);
    const dropping = falls && chain.policy === 'drop' ? [...drops, `the policy of ${chain.name}`] : drops;
    const passes = accepts || (falls && chain.policy === 'accept');
    if (!passes) closed ??= chain.name;
    (passes ? suspects : droppedBy).push(...dropping);
  }
  return { droppedBy, closed, suspects };

  function walk({ rules }: Chain, depth: number): Ends {
    let accepts = false;
    const drops: string[] = [];
    let leaves = false;
    for (const rule of rules) {
      const fits = allOf(rule.conditions.map((condition) => condition(packet)));
      if (fits === false) continue;
      const ends = endsOf(rule, depth);
      accepts ||= ends.accepts;
      drops.push(...ends.drops);
      leaves ||= ends.leaves;
      if (fits === true && !ends.goesOn) return { accepts, drops, falls: leaves };
    }
    return { accepts, drops, falls: true };
  }

  function endsOf({ verdict, text }: Rule, depth: number) {
    if (verdict === 'accept') return { accepts: true, drops: [], leaves: false, goesOn: false };
    if (verdict === 'drop') return { accepts: false, drops: [text], leaves: false, goesOn: false };
    if (verdict === 'return') return { accepts: false, drops: [], leaves: true, goesOn: false };
    const isJump = 'jump' in verdict;
    const chain = byName.get(isJump ? verdict.jump : verdict.goto);
    if (chain === undefined || depth === MAX_DEPTH) return { accepts: false, drops: [], leaves: false, goesOn: true };
    const { accepts, drops, falls } = walk(chain, depth + 1);
    return { accepts, drops, leaves: falls && !isJump, goesOn: falls && isJump };
  }
}

/** Version of IP of a packet, 4 where no address is known. */
export const versionOf = ({ source, destination }: Packet): 4 | 6 =>
  (source ?? destination ?? '').includes(':') ? 6 : 4;

function allOf(conditions: readonly Fits[]): Fits {
  if (conditions.includes(false)) return false;
  return conditions.includes(undefined) ? undefined : true;
}

export const not = (fits: Fits): Fits => (fits === undefined ? undefined : !fits);

/** Of alternatives. */
export function anyOf(fits: readonly Fits[]): Fits {
  if (fits.includes(true)) return true;
  return fits.includes(undefined) ? undefined : false;
}

/** Whether an address is in a range, `100.64.0.0/10` or one alone. */
export function inRange(address: string | undefined, range: string): Fits {
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

/** @param wildcard what stands at its end for any other end */
export function isInterface(name: string | undefined, pattern: string, wildcard: string): Fits {
  if (name === undefined) return undefined;
  return pattern.endsWith(wildcard) ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
