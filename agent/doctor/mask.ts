import { isRecord } from '../../shared/format/value.js';
import { maskSecrets } from '../config/load.js';
import type { Config } from '../config/schema.js';

const MASK = '***';
const SECRET_NAME =
  /pass(?:word|wd|phrase)|secret|token|credential|authorization|(?:api|access|private)[-_]?key|(?<![a-z])(?:pin|psk|puk)(?![a-z])/i;
/** `NAME=value`, `"name": "value"`, `--name value`, and a header up to the end of its line. */
const NAMED = new RegExp(
  String.raw`([\w.-]*(?:${SECRET_NAME.source})[\w.-]*["']?(?:\s*[=:]\s*|(?<=--[\w-]+)\s+))((?:Bearer|Basic)\s+[^\s"']+|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;"'}\]]+)`,
  'gi',
);
const BEARER = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}/g;
const IN_URL = /(:\/\/[^\s/@:]*:)[^\s/@]+@/g;
/** A shorter one may be any word, unless its name says what it is. */
const LEAST_LENGTH = 8;
const LEAST_NAMED_LENGTH = 4;

/** Hides secrets in a text. */
export type Mask = (text: string) => string;

/**
 * Makes what hides secrets in texts of any kind: the values that the configuration gives to handlers, its PIN,
 * wherever they occur, and whatever stands behind a name that says that it is a secret.
 */
export function createMask(config: Config): Mask {
  const known = secretsOf(config).map(literally);
  return (text) => {
    const withoutKnown = known.reduce((shown, secret) => shown.replaceAll(secret, MASK), text);
    return withoutKnown
      .replaceAll(NAMED, (_, name: string, value: string) => name + maskedValue(value))
      .replaceAll(BEARER, `$1 ${MASK}`)
      .replaceAll(IN_URL, `$1${MASK}@`);
  };
}

const maskedValue = (value: string): string => {
  const [quote = ''] = /^["']/.exec(value) ?? [];
  return quote + MASK + quote;
};

/** Digits alone are not looked for inside longer numbers. */
function literally(secret: string): RegExp {
  const escaped = secret.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  return new RegExp(/^\d+$/.test(secret) ? `(?<!\\d)${escaped}(?!\\d)` : escaped, 'g');
}

function secretsOf({ modem, handlers, device }: Config): string[] {
  const values = Object.values(handlers).flatMap(({ environment, program }) => [
    ...environment.flatMap((entry) => {
      const [name = '', ...value] = entry.split('=');
      return isSecret(name, value.join('=')) ? [value.join('=')] : [];
    }),
    ...secretArguments(program),
  ]);
  const all = [modem.pin ?? '', ...values, ...secretArguments(device.reboot), ...secretArguments(device.restart ?? [])];
  // A secret that is part of another would leave the rest of that.
  return all.filter((secret) => secret !== '').sort((a, b) => b.length - a.length);
}

const isSecret = (name: string, value: string): boolean =>
  value.length >= (SECRET_NAME.test(name) ? LEAST_NAMED_LENGTH : LEAST_LENGTH);

/** What stands behind a flag whose name says it: `--token x`. */
const secretArguments = (program: readonly string[]): string[] =>
  program.filter((value, index) => isSecretFlag(program[index - 1]) && value.length >= LEAST_NAMED_LENGTH);

const isSecretFlag = (word = ''): boolean => /^--?[\w-]+$/.test(word) && SECRET_NAME.test(word);

/** The configuration with its secrets hidden: those that its schema knows, and those that names tell. */
export function maskedConfig(config: Config, mask: Mask): unknown {
  const { handlers, ...rest } = maskSecrets(config);
  const hidden = Object.entries(handlers).map(([name, handler]) => {
    const program = handler.program.map((word, index) => (isSecretFlag(handler.program[index - 1]) ? MASK : word));
    return [name, { ...handler, program }];
  });
  return maskTree({ ...rest, handlers: Object.fromEntries(hidden) }, mask);
}

/** Hides secrets in all strings of a tree. */
export function maskTree(tree: unknown, mask: Mask): unknown {
  if (typeof tree === 'string') return mask(tree);
  if (Array.isArray(tree)) return tree.map((one) => maskTree(one, mask));
  if (!isRecord(tree)) return tree;
  const entries = Object.entries(tree).map(([name, value]) => [
    name,
    typeof value === 'string' && SECRET_NAME.test(name) ? MASK : maskTree(value, mask),
  ]);
  return Object.fromEntries(entries);
}

/** A unit's file: what it puts into the environment is hidden, but for the agent's own settings. */
export function maskUnit(text: string, mask: Mask): string {
  return text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => {
      const [, setting, values = ''] = /^\s*(Environment|SetCredential|SetCredentialEncrypted)=(.*)$/.exec(line) ?? [];
      if (setting === undefined) return mask(line);
      if (setting !== 'Environment') return `${setting}=${MASK}`;
      const words = values.match(/"(?:[^"\\]|\\.)*"|'[^']*'|\S+/g) ?? [];
      return `Environment=${words.map(maskAssignment).join(' ')}`;
    })
    .join('\n');
}

function maskAssignment(word: string): string {
  const plain = word.replaceAll(/^["']|["']$/g, '');
  const [name = ''] = plain.split('=', 1);
  return name.startsWith('SUPERSIM_AGENT_') && !SECRET_NAME.test(name) ? word : `${name}=${MASK}`;
}
