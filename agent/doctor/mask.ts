import { isRecord } from '../../shared/format/value.js';
import { maskSecrets } from '../config/load.js';
import type { Config } from '../config/schema.js';

const MASK = '***';
const SECRET_NAME =
  /pass(?:word|wd|phrase)|secret|token|credential|authorization|(?:api|access|private)[-_]?key|(?<![a-z])(?:pin|psk|puk)(?![a-z])/i;
/** What may be a name. */
const WORD = /[\w.-]+/g;
const MAX_NAME_LENGTH = 80;
/** Behind a name: `=value`, `": "value"`, ` value`, and a header's `: Bearer value`. */
const VALUE =
  /(["']?\s{0,8}[=:]\s{0,8}|\s{1,8})((?:Bearer|Basic)\s{1,8}[^\s"']+|"(?:[^"\\\n]|\\.){0,4096}"|'[^'\n]{0,4096}'|[^\s,;"'}\]]+)/y;
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
 *
 * @param text of the configuration's file, which tells of secrets even where it cannot be used
 */
export function createMask(config: Config, text = ''): Mask {
  // A secret that is part of another would leave the rest of that.
  const secrets = [...secretsOf(config), ...secretsIn(text)].sort((a, b) => b.length - a.length);
  const known = secrets.map(literally);
  return (said) => {
    const withoutKnown = known.reduce((shown, secret) => shown.replaceAll(secret, MASK), said);
    return maskNamed(withoutKnown).replaceAll(BEARER, `$1 ${MASK}`).replaceAll(IN_URL, `$1${MASK}@`);
  };
}

/** One word after the other, as one expression for names and values would try each text many times. */
function maskNamed(text: string): string {
  let shown = '';
  let end = 0;
  for (const { 0: word, index } of text.matchAll(WORD)) {
    if (index < end || word.length > MAX_NAME_LENGTH || !SECRET_NAME.test(word)) continue;
    VALUE.lastIndex = index + word.length;
    const [whole, between = '', value = ''] = VALUE.exec(text) ?? [];
    // Words behind words are only meant for flags: `--token x`.
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

/** Digits alone are not looked for inside longer numbers. */
function literally(secret: string): RegExp {
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

/** By their looks: a PIN, and `NAME=value` in quotes or without. */
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
  value.length >= (SECRET_NAME.test(name) ? LEAST_NAMED_LENGTH : LEAST_LENGTH);

/** What stands behind a flag whose name says it: `--token x`. */
const secretArguments = (program: readonly string[]): string[] =>
  program.filter((value, index) => isSecretFlag(program[index - 1]) && value.length >= LEAST_NAMED_LENGTH);

const isSecretFlag = (word = ''): boolean => /^--?[\w-]+$/.test(word) && SECRET_NAME.test(word);

/** The configuration with its secrets hidden: those that its schema knows, and those that names tell. */
export function maskedConfig(config: Config, mask: Mask): unknown {
  const { handlers, ...rest } = maskSecrets(config);
  const hidden = Object.entries(handlers).map(([name, handler]) => {
    if ('socket' in handler) return [name, handler];
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
