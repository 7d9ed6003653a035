import { MAX_ID_BYTES, type Params, REPLY_WORDS } from '../command.js';
import { messageOf } from '../errors.js';
import { errorMessage, type Message, REPLY_MESSAGE } from './message.js';
import { isRecord, toJson } from './value.js';

interface Word {
  readonly value: string;
  /** Set when the word starts, outside quotes, with `key=`. */
  readonly key?: string;
}

const KEY = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
/** The fast path: a name without parameters, perhaps after a short id. */
const PLAIN_COMMAND = /^(?:#(\S{1,16})\s+)?([^\s'"\\#=]+)$/;
const PLAIN_WORD = /^[^\s'"\\#=]+$/;

/**
 * Parses a text command, `name arg key=value …` with an optional `#id` before it. White space separates words;
 * `'…'` keeps everything, in `"…"` and outside quotes `\` takes the next character as it is; a word that starts
 * with `key=` is a parameter by name.
 */
export function parseText(text: string): Message {
  const plain = text.trim();
  const short = PLAIN_COMMAND.exec(plain);
  if (short !== null) return oneRequest(short[1], short[2] ?? '', { positional: [], named: {} });
  const id = /^#(\S*)/.exec(plain)?.[1];
  const body = id === undefined ? plain : plain.slice(id.length + 1).trimStart();
  // Before quotes are parsed, which a reply need not close.
  if (REPLY_WORDS.includes(/^\S*/.exec(body)?.[0] ?? '')) return REPLY_MESSAGE;
  if (id === '') return errorMessage('parse-error', 'the id after # is empty');
  if (id !== undefined && Buffer.byteLength(id) > MAX_ID_BYTES) {
    return errorMessage('parse-error', `the id is longer than ${MAX_ID_BYTES} bytes`);
  }
  try {
    const [first, ...rest] = splitWords(body);
    if (first === undefined) return errorMessage('parse-error', 'there is no command name', id);
    const name = first.key === undefined ? first.value : `${first.key}=${first.value}`;
    return oneRequest(id, name, collectParams(rest));
  } catch (error) {
    return errorMessage('parse-error', messageOf(error), id);
  }
}

function oneRequest(id: string | undefined, name: string, params: Params): Message {
  if (REPLY_WORDS.includes(name)) return REPLY_MESSAGE;
  return { entries: [{ request: id === undefined ? { name, params } : { id, name, params } }], batch: false };
}

/**
 * Sorts the words after a command's name into parameters by position and by name.
 *
 * @throws SyntaxError when a name is given twice
 */
function collectParams(words: readonly Word[]): Params {
  const named = new Map<string, string>();
  const positional: string[] = [];
  for (const { key, value } of words) {
    if (key === undefined) positional.push(value);
    else if (named.has(key)) throw new SyntaxError(`the parameter ${key} is given twice`);
    else named.set(key, value);
  }
  return { positional, named: Object.fromEntries(named) };
}

/**
 * Reads parameters from words that a shell has already split: `key=value` by name, the others by position.
 *
 * @throws SyntaxError when a name is given twice
 */
export function paramsFromWords(words: readonly string[]): Params {
  return collectParams(
    words.map((word) => {
      const [, key, value] = /^([^=]*)=(.*)$/s.exec(word) ?? [];
      return key !== undefined && value !== undefined && KEY.test(key) ? { key, value } : { value: word };
    }),
  );
}

/**
 * Reads parameters from a line of words, quoted as in a command.
 *
 * @throws SyntaxError for an unclosed quote, an escape at the end, or a name that is given twice
 */
export const paramsFromText = (text: string): Params => collectParams(splitWords(text));

/** The state of a word while it is parsed. */
interface OpenWord {
  value: string;
  key: string | undefined;
  /** Whether a `=` may end a key: before the first quote, escape and `=`. */
  mayHaveKey: boolean;
}

/** Characters that stand for themselves, outside quotes and in each kind of them. */
const PLAIN = { outside: /[^\s'"\\=]*/y, "'": /[^']*/y, '"': /[^"\\]*/y };
const SPACE = /\s*/y;

/** Returns where characters end that a sticky pattern matches, if there are any. */
function endOf(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  pattern.test(text);
  return pattern.lastIndex;
}

/** @throws SyntaxError for an unclosed quote, or an escape at the end */
const splitWords = (text: string): Word[] => splitAtBlanks(text) ?? splitQuoted(text);

/** Characters that separate, quote or escape, but the blank. */
const SPECIAL = ['\\', '"', "'", '\t', '\n', '\r', '\v', '\f'];

/**
 * The fast path: words in ASCII that only blanks separate. The searches that it is made of are several times as fast as a
 * regular expression.
 *
 * @returns undefined for any other text
 */
function splitAtBlanks(text: string): Word[] | undefined {
  if (Buffer.byteLength(text) !== text.length || SPECIAL.some((character) => text.includes(character)))
    return undefined;
  return text.split(' ').filter(Boolean).map(plainWord);
}

function plainWord(word: string): Word {
  const equals = word.indexOf('=');
  const key = word.slice(0, Math.max(equals, 0));
  return KEY.test(key) ? { key, value: word.slice(equals + 1) } : { value: word };
}

/** @throws SyntaxError for an unclosed quote, or an escape at the end */
function splitQuoted(text: string): Word[] {
  const words: Word[] = [];
  let word: OpenWord | undefined;
  let quote: "'" | '"' | undefined;
  for (let at = 0; at < text.length; ) {
    const end = endOf(PLAIN[quote ?? 'outside'], text, at);
    if (end > at) {
      word ??= openWord();
      word.value += text.slice(at, end);
      at = end;
      continue;
    }
    const character = text.charAt(at++);
    if (character === quote) quote = undefined;
    else if (character === '\\') {
      if (at === text.length) throw new SyntaxError('a \\ at the end escapes nothing');
      word ??= openWord();
      word.value += text.charAt(at++);
      word.mayHaveKey = false;
    } else if (character === '"' || character === "'") {
      word ??= openWord();
      word.mayHaveKey = false;
      quote = character;
    } else if (character === '=') {
      word ??= openWord();
      takeEquals(word);
    } else {
      if (word !== undefined) words.push(closeWord(word));
      word = undefined;
      at = endOf(SPACE, text, at);
    }
  }
  if (quote !== undefined) throw new SyntaxError(`a ${quote} is not closed`);
  if (word !== undefined) words.push(closeWord(word));
  return words;
}

const openWord = (): OpenWord => ({ value: '', key: undefined, mayHaveKey: true });

/** Takes what is before a word's first `=` for its key, if it may be one. */
function takeEquals(word: OpenWord): void {
  if (word.mayHaveKey && KEY.test(word.value)) {
    word.key = word.value;
    word.value = '';
  } else word.value += '=';
  word.mayHaveKey = false;
}

const closeWord = ({ key, value }: OpenWord): Word => (key === undefined ? { value } : { key, value });

/** Writes a result as a text reply has it, without `ok`. */
export function formatText(result: unknown): string {
  if (result === undefined || result === null) return '';
  if (typeof result === 'string') return result;
  if (isScalar(result)) return String(result);
  if (Array.isArray(result) && result.every(isScalar)) return result.map(quoteWord).join(' ');
  if (isRecord(result)) {
    const members = Object.entries(result).filter(([, value]) => value !== undefined);
    const words = members.flatMap(([key, value]) =>
      KEY.test(key) && isScalar(value) ? [`${key}=${quoteWord(value)}`] : [],
    );
    if (words.length === members.length) return words.join(' ');
  }
  return toJson(result);
}

const isScalar = (value: unknown): value is string | number | boolean =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';

/** Quotes a value so that {@link parseText} reads it back. */
export function quoteWord(value: string | number | boolean): string {
  const word = String(value);
  return PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
