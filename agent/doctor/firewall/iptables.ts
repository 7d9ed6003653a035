import {
  anyOf,
  type Chain,
  type Condition,
  inRange,
  isInterface,
  type Match,
  not,
  type Rule,
  type Verdict,
} from './rules.js';

const HOOKS: Readonly<Record<string, string>> = {
  PREROUTING: 'prerouting',
  INPUT: 'input',
  OUTPUT: 'output',
  POSTROUTING: 'postrouting',
};
/** Modules that match by their options only. */
const PLAIN_MODULES = ['udp', 'tcp', 'multiport', 'state', 'conntrack', 'comment'];
/** Options of targets: no conditions. */
const TARGET_OPTIONS = [
  '--reject-with',
  '--log-prefix',
  '--log-level',
  '--set-xmark',
  '--nflog-group',
  '--nflog-prefix',
];

/** Parses the output of `iptables-save`: `*table`, `:CHAIN POLICY`, `-A CHAIN …`. */
export function parseIptables(text: string): Chain[] {
  const chains = new Map<string, { policy: string; lines: string[] }>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const [, chain, policy = ''] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (chain !== undefined) chains.set(`${table} ${chain}`, { policy, lines: [] });
    const [, name] = /^-A (\S+) /.exec(line) ?? [];
    if (name !== undefined) chains.get(`${table} ${name}`)?.lines.push(line);
  }
  return [...chains].map(([name, { policy, lines }]) => {
    const [own = '', short = ''] = name.split(' ');
    return {
      name: `iptables ${name}`,
      hook: HOOKS[short],
      version: 4,
      policy: policy === 'DROP' ? 'drop' : 'accept',
      rules: lines.flatMap((line) =>
        parseRule(line, (target) => (chains.has(`${own} ${target}`) ? `iptables ${own} ${target}` : undefined)),
      ),
    };
  });
}

function parseRule(line: string, findChain: (target: string) => string | undefined): Rule[] {
  const words = [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain = '']) => quoted ?? plain);
  const conditions: Condition[] = [];
  let verdict: Verdict | undefined;
  for (let index = 2; index < words.length; index++) {
    const isNegated = words[index] === '!';
    if (isNegated) index++;
    const option = words[index] ?? '';
    const value = words[index + 1] ?? '';
    if (option === '-j' || option === '-g') verdict = verdictOf(option, value, findChain);
    const condition = conditionOf(option, value);
    // Options without a value are unknown to this parser.
    if (!(words[index + 1] ?? '-').startsWith('-') && words[index + 1] !== '!') index++;
    if (condition !== undefined) conditions.push(isNegated ? (packet) => not(condition(packet)) : condition);
  }
  return verdict === undefined ? [] : [{ text: `\`iptables ${line}\``, conditions, verdict }];
}

function verdictOf(
  option: string,
  target: string,
  findChain: (target: string) => string | undefined,
): Verdict | undefined {
  if (target === 'ACCEPT') return 'accept';
  if (target === 'DROP' || target === 'REJECT') return 'drop';
  if (target === 'RETURN') return 'return';
  const chain = findChain(target);
  if (chain === undefined) return undefined;
  return option === '-g' ? { goto: chain } : { jump: chain };
}

/** Returns undefined for options that are not conditions. */
function conditionOf(option: string, value: string): Condition | undefined {
  switch (option) {
    case '-p':
      return () => ['udp', '17', 'all', '0'].includes(value);
    case '-s':
      return ({ source }) => inRange(source, value);
    case '-d':
      return ({ destination }) => inRange(destination, value);
    case '-i':
      return (packet) => packet.direction === 'in' && isInterface(packet.interface, value, '+');
    case '-o':
      return (packet) => packet.direction === 'out' && isInterface(packet.interface, value, '+');
    case '--dport':
    case '--dports':
      return ({ destinationPort }) => isPort(destinationPort, value);
    case '--sport':
    case '--sports':
      return ({ sourcePort }) => isPort(sourcePort, value);
    case '--state':
    case '--ctstate':
      return () => value.split(',').includes('NEW');
    case '-m':
      return PLAIN_MODULES.includes(value) ? undefined : unknown;
    case '-j':
    case '-g':
    case '--comment':
      return undefined;
    default:
      return TARGET_OPTIONS.includes(option) ? undefined : unknown;
  }
}

const unknown: Condition = () => undefined;

function isPort(port: number | undefined, ranges: string): Match {
  if (port === undefined) return undefined;
  return anyOf(
    ranges.split(',').map((range) => {
      const [low = '', high = low] = range.split(':');
      return Number(low) <= port && port <= Number(high);
    }),
  );
}
