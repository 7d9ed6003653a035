import * as z from 'zod';
import { isRecord } from '../../../shared/format/value.js';
import {
  anyOf,
  type Chain,
  type Condition,
  inRange,
  isInterface,
  type Match,
  not,
  type Packet,
  type Rule,
  type Verdict,
  versionOf,
} from './rules.js';

/** The parts used of `nft -j list ruleset`: libnftables-json(5). */
const rulesetSchema = z.object({ nftables: z.array(z.record(z.string(), z.unknown())) });
const chainSchema = z.looseObject({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  hook: z.string().optional(),
  policy: z.string().optional(),
});
const ruleSchema = z.looseObject({
  family: z.string(),
  table: z.string(),
  chain: z.string(),
  handle: z.number().optional(),
  expr: z.array(z.record(z.string(), z.unknown())).default([]),
});
const setSchema = z.looseObject({ table: z.string(), name: z.string(), elem: z.array(z.unknown()).default([]) });

const VERSIONS: Readonly<Record<string, 4 | 6 | undefined>> = { inet: undefined, ip: 4, ip6: 6 };
/** Protocols above IP other than UDP. */
const OTHER_PROTOCOLS = ['tcp', 'icmp', 'icmpv6', 'sctp', 'dccp', 'udplite', 'esp', 'ah', 'comp', 'igmp'];
const UDP_NUMBER = 17;

type Sets = ReadonlyMap<string, readonly unknown[]>;

/** Parses a ruleset; returns undefined for anything else. */
export function parseNft(text: unknown): Chain[] | undefined {
  const ruleset = rulesetSchema.safeParse(text);
  if (!ruleset.success) return undefined;
  const read = <T>(kind: string, schema: z.ZodType<T>): T[] =>
    ruleset.data.nftables.flatMap((entry) => {
      const parsed = schema.safeParse(entry[kind]);
      return parsed.success ? [parsed.data] : [];
    });
  const sets: Sets = new Map(read('set', setSchema).map(({ table, name, elem }) => [`${table} @${name}`, elem]));
  const rules = read('rule', ruleSchema);
  return read('chain', chainSchema)
    .filter(({ family }) => family in VERSIONS)
    .map(({ family, table, name, hook, policy }) => ({
      name: `${family} ${table} ${name}`,
      hook,
      version: VERSIONS[family],
      policy: policy === 'drop' ? 'drop' : 'accept',
      rules: rules
        .filter((rule) => rule.family === family && rule.table === table && rule.chain === name)
        .flatMap((rule) => parseRule(rule, sets)),
    }));
}

/** Parses one rule: several, one for each entry of a verdict map. */
function parseRule({ family, table, chain, handle, expr }: z.output<typeof ruleSchema>, sets: Sets): Rule[] {
  const place = `${family} ${table} ${chain}`;
  const text = `rule ${handle ?? '?'} of ${place}`;
  const conditions: Condition[] = [];
  const rules: Rule[] = [];
  for (const statement of expr) {
    const [kind = '', value] = Object.entries(statement)[0] ?? [];
    const verdict = verdictOf(kind, value, `${family} ${table}`);
    if (verdict !== undefined) rules.push({ text, conditions: [...conditions], verdict });
    else if (kind === 'vmap') rules.push(...mapRules(value, { text, conditions, family, table }, sets));
    else {
      const condition = conditionOf(kind, value, (name) => sets.get(`${table} ${name}`));
      if (condition !== undefined) conditions.push(condition);
    }
  }
  return rules;
}

function verdictOf(kind: string, value: unknown, table: string): Verdict | undefined {
  if (kind === 'accept' || kind === 'drop' || kind === 'return') return kind;
  if (kind === 'reject') return 'drop';
  if (kind === 'xt' && isRecord(value) && value['type'] === 'target' && value['name'] === 'REJECT') return 'drop';
  if (!isRecord(value) || typeof value['target'] !== 'string') return undefined;
  if (kind === 'jump') return { jump: `${table} ${value['target']}` };
  return kind === 'goto' ? { goto: `${table} ${value['target']}` } : undefined;
}

interface Place {
  readonly text: string;
  readonly conditions: readonly Condition[];
  readonly family: string;
  readonly table: string;
}

const mapSchema = z.object({
  key: z.unknown(),
  data: z.object({ set: z.array(z.tuple([z.unknown(), z.record(z.string(), z.unknown())])) }),
});

function mapRules(value: unknown, { text, conditions, family, table }: Place, sets: Sets): Rule[] {
  const map = mapSchema.safeParse(value);
  if (!map.success) return [];
  return map.data.data.set.flatMap(([right, written]) => {
    const [kind = '', target] = Object.entries(written)[0] ?? [];
    const verdict = verdictOf(kind, target, `${family} ${table}`);
    const condition = match({ op: '==', left: map.data.key, right }, (name) => sets.get(`${table} ${name}`));
    return verdict === undefined ? [] : [{ text, conditions: [...conditions, condition], verdict }];
  });
}

type FindSet = (name: string) => readonly unknown[] | undefined;

/** Returns undefined for statements that are not conditions. */
function conditionOf(kind: string, value: unknown, findSet: FindSet): Condition | undefined {
  if (kind === 'match') return match(value, findSet);
  if (kind === 'limit') return unknown;
  // Written by iptables, with no native form in nft.
  const isForeign = kind === 'xt' && isRecord(value) && value['type'] === 'match' && value['name'] !== 'comment';
  return isForeign ? unknown : undefined;
}

const unknown: Condition = () => undefined;
const matchSchema = z.object({ op: z.string(), left: z.unknown(), right: z.unknown() });

function match(value: unknown, findSet: FindSet): Condition {
  const parsed = matchSchema.safeParse(value);
  if (!parsed.success) return unknown;
  const { op, left, right } = parsed.data;
  return (packet) => {
    const matches = contains(right, testOf(left, packet), findSet);
    if (['==', 'in'].includes(op)) return matches;
    return op === '!=' ? not(matches) : undefined;
  };
}

/** Tests a field of the packet for a value. */
type Test = (value: unknown) => Match;

function contains(right: unknown, test: Test, findSet: FindSet): Match {
  if (Array.isArray(right)) return anyOf(right.map((one) => contains(one, test, findSet)));
  if (isRecord(right) && Array.isArray(right['set'])) return contains(right['set'], test, findSet);
  // An element with a timeout or a comment.
  if (isRecord(right) && isRecord(right['elem'])) return contains(right['elem']['val'], test, findSet);
  if (typeof right === 'string' && right.startsWith('@'))
    return contains(findSet(right) ?? { concat: [] }, test, findSet);
  return test(right);
}

const leftSchema = z.union([
  z.object({ payload: z.object({ protocol: z.string(), field: z.string() }) }),
  z.object({ meta: z.object({ key: z.string() }) }),
  z.object({ ct: z.looseObject({ key: z.string() }) }),
]);

function testOf(left: unknown, packet: Packet): Test {
  const parsed = leftSchema.safeParse(left);
  if (!parsed.success) return anything;
  if ('payload' in parsed.data) return payloadTest(parsed.data.payload, packet);
  if ('meta' in parsed.data) return metaTest(parsed.data.meta.key, packet);
  return parsed.data.ct.key === 'state' ? (value) => value === 'new' : anything;
}

const anything: Test = () => undefined;
const never: Test = () => false;
const isUdp: Test = (value) => value === 'udp' || value === UDP_NUMBER;

function payloadTest({ protocol, field }: { protocol: string; field: string }, packet: Packet): Test {
  if (OTHER_PROTOCOLS.includes(protocol)) return never;
  if (field === 'dport') return (value) => isNumber(packet.destinationPort, value);
  if (field === 'sport') return (value) => isNumber(packet.sourcePort, value);
  if (field === 'saddr') return (value) => isAddress(packet.source, value);
  if (field === 'daddr') return (value) => isAddress(packet.destination, value);
  return field === 'protocol' || field === 'nexthdr' ? isUdp : anything;
}

function metaTest(key: string, packet: Packet): Test {
  const is6 = versionOf(packet) === 6;
  if (key === 'l4proto') return isUdp;
  if (key === 'nfproto') return (value) => value === (is6 ? 'ipv6' : 'ipv4');
  if (key === 'protocol') return (value) => value === (is6 ? 'ip6' : 'ip');
  if (!/^[io]if(?:name)?$/.test(key)) return anything;
  // An incoming packet has no output interface yet, an outgoing one no input interface.
  const isOwn = key.startsWith(packet.direction === 'in' ? 'iif' : 'oif');
  return isOwn ? (value) => isNamed(packet.interface, value) : never;
}

const isNamed = (name: string | undefined, value: unknown): Match =>
  typeof value === 'string' ? isInterface(name, value, '*') : undefined;

function isNumber(number: number | undefined, value: unknown): Match {
  if (number === undefined) return undefined;
  const [low, high] = rangeOf(value);
  if (typeof low === 'number' && typeof high === 'number') return low <= number && number <= high;
  return typeof value === 'number' ? value === number : undefined;
}

function isAddress(address: string | undefined, value: unknown): Match {
  if (typeof value === 'string') return inRange(address, value);
  const prefix = isRecord(value) ? value['prefix'] : undefined;
  if (isRecord(prefix)) return inRange(address, `${prefix['addr']}/${prefix['len']}`);
  return undefined;
}

const rangeOf = (value: unknown): unknown[] => (isRecord(value) && Array.isArray(value['range']) ? value['range'] : []);
