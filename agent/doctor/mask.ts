import { isRecord } from '../../shared/format/value.js';
import { maskSecrets } from '../config/load.js';
import type { Config } from '../config/schema.js';

const MASK = '***';
const SECRET_NAME =
  /pass(?:word|wd|phrase)|secret|token|credential|authorization|(?:api|access|private)[-_]?key|(?<![a-z])(?:pin|psk|puk)(?![a-z])/i;
/** A possible name. */
const WORD = /[\w.-]+/g;
const MAX_NAME_LENGTH = 80;
/** A value after a name: `=value`, `": "value"`, ` value`, and a header's `: Bearer value`. */
const VALUE =
  /(["']?\s{0,8}[=:]\s{0,8}|\s{1,8})((?:Bearer|Basic)\s{1,8}[^\s"']+|"(?:[^"\\\n]|\\.){0,4096}"|'[^'\n]{0,4096}'|[^\s,;"'}\]]+)/y;
const BEARER = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}/g;
const IN_URL = /(:\/\/[^\s/@:]*:)[^\s/@]+@/g;
/** Shorter values may be ordinary words, unless their name says that they are secret. */
const MIN_LENGTH = 8;
const MIN_NAMED_LENGTH = 4;

/** Hides secrets in a text. */
export type Mask = (text: string) => string;

/**
 * Makes a mask for texts of any kind. It hides the environment values and the PIN of the configuration wherever they
 * occur, and every value after a name that sounds secret.
 *
 * @param text content of the configuration file: its secrets are hidden even where the file is invalid
 */
export function createMask(config: Config, text = ''): Mask {
  // Longest first: a secret may contain another.
  const secrets = [...secretsOf(config), ...secretsIn(text)].sort((a, b) => b.length - a.length);
  const known = secrets.map(literalPattern);
  return (said) => {
    const withoutKnown = known.reduce((shown, secret) => shown.replaceAll(secret, MASK), said);
    return maskNamed(withoutKnown).replaceAll(BEARER, `$1 ${MASK}`).replaceAll(IN_URL, `$1${MASK}@`);
  };
}

/** Word by word: a single expression for names and values would backtrack too much. */
function maskNamed(text: string): string {
  let shown = '';
  let end = 0;
  for (const { 0: word, index } of text.matchAll(WORD)) {
    if (index < end || word.length > MAX_NAME_LENGTH || !SECRET_NAME.test(word)) continue;
    VALUE.lastIndex = index + word.length;
    const [whole, between = '', value = ''] = VALUE.exec(text) ?? [];
    // A value after a space counts for flags only: `--token x`.
    if (whole === undefined || (!/[=:]/.test(between) && !word.startsWith('--'))) continue;
    shown += text.slice(end, index + word.length) + between + maskedValue(value);
    end = index + word.length + whole.length;
  }
  return shown + text.slice(end);
}

const maskedValue = (value: string): string => {
  const [quote = ''] = /^["']/.exec(value) ?? [];
  return quote + MASK + quote;
};

/** Makes an expression for a secret; a numeric one does not match within longer numbers. */
function literalPattern(secret: string): RegExp {
  const escaped = secret.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  return new RegExp(/^\d+$/.test(secret) ? `(?<!\\d)${escaped}(?!\\d)` : escaped, 'g');
}

function secretsOf({ modem, handlers, device }: Config): string[] {
  const values = Object.values(handlers).flatMap((handler) => {
    if ('socket' in handler) return [];
    const given = handler.environment.map((entry) => entry.split('='));
    const secret = given.filter(([name = '', ...value]) => isSecret(name, value.join('=')));
    return [...secret.map(([, ...value]) => value.join('=')), ...secretArguments(handler.program)];
  });
  const ends = [device.reboot ?? [], device.restart ?? []].flatMap((way) =>
    'socket' in way ? [] : secretArguments(way),
  );
  const all = [modem.pin ?? '', ...values, ...ends];
  return all.filter((secret) => secret !== '');
}

/** Finds secrets in a text by their form: a PIN, and `NAME=value` with or without quotes. */
function secretsIn(text: string): string[] {
  const pins = [...text.matchAll(/\bpin["']?\s{0,8}:\s{0,8}["']?(\d{4,8})/gi)].map(([, pin = '']) => pin);
  const values = [...text.matchAll(/\b([A-Za-z_]\w{0,80})=/g)].flatMap(({ 0: start, 1: name = '', index }) => {
    const quote = /["']/.exec(text[index - 1] ?? '')?.[0];
    const end = quote === undefined ? /[\s,\]}"']|$/g : quote === '"' ? /["\n]|$/g : /['\n]|$/g;
    end.lastIndex = index + start.length;
    const value = text.slice(end.lastIndex, end.exec(text)?.index);
    return isSecret(name, value) ? [value] : [];
  });
  return [...new Set([...pins, ...values])];
}

const isSecret = (name: string, value: string): boolean =>
  value.length >= (SECRET_NAME.test(name) ? MIN_NAMED_LENGTH : MIN_LENGTH);

/** Returns the values of secret flags: `--token x`. */
const secretArguments = (program: readonly string[]): string[] =>
  program.filter((value, index) => isSecretFlag(program[index - 1]) && value.length >= MIN_NAMED_LENGTH);

const isSecretFlag = (word = ''): boolean => /^--?[\w-]+$/.test(word) && SECRET_NAME.test(word);

/** Returns the configuration without the secrets that its schema marks or that names reveal. */
export function maskedConfig(config: Config, mask: Mask): unknown {
  const { handlers, ...rest } = maskSecrets(config);
  const hidden = Object.entries(handlers).map(([name, handler]) => {
    if ('socket' in handler) return [name, handler];
    const program = handler.program.map((word, index) => (isSecretFlag(handler.program[index - 1]) ? MASK : word));
    return [name, { ...handler, program }];
  });
  return maskTree({ ...rest, handlers: Object.fromEntries(hidden) }, mask);
}

/** Masks all strings of a JSON value. */
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

/** Masks a unit file: hides its environment, except the agent's own settings. */
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
