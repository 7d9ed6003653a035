import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Params, Reply } from '../../../shared/command.js';
import { type Entry, REPLY_MESSAGE } from '../../../shared/format/message.js';
import { paramsFromWords, parseText, quoteWord } from '../../../shared/format/text.js';
import { formatTextReply } from '../../../shared/format/text-reply.js';
import { SEED } from '../../support/seed.js';

const LIMIT = 1300;

function onlyEntry(text: string): Entry {
  const { entries, batch } = parseText(text);
  expect(batch).toBe(false);
  expect(entries, text).toHaveLength(1);
  const [entry] = entries;
  if (entry === undefined) throw new Error(`nothing was read from ${JSON.stringify(text)}`);
  return entry;
}

function request(text: string) {
  const entry = onlyEntry(text);
  if ('error' in entry) throw new Error(`${JSON.stringify(text)} is an error: ${entry.error.message}`);
  return entry.request;
}

function error(text: string) {
  const entry = onlyEntry(text);
  if ('request' in entry) throw new Error(`${JSON.stringify(text)} is a request`);
  return entry;
}

const positional = (...words: string[]): Params => ({ positional: words, named: {} });
const named = (members: Record<string, string>, ...words: string[]): Params => ({ positional: words, named: members });

describe('a text command', () => {
  it.each<[string, string, Params]>([
    ['ping', 'ping', positional()],
    ['relay.set 1 on', 'relay.set', positional('1', 'on')],
    ['relay.set channel=1 on', 'relay.set', named({ channel: '1' }, 'on')],
    ['  \r\n\tping\n', 'ping', positional()],
    ['echo\ta\nb\r\nc  d', 'echo', positional('a', 'b', 'c', 'd')],
    ['echo\u{a0}a\u{2028}b\u{3000}c\u{feff}d', 'echo', positional('a', 'b', 'c', 'd')],
    ['\u{feff}ping', 'ping', positional()],
    [`echo 'a b' "c d"`, 'echo', positional('a b', 'c d')],
    [`echo ''`, 'echo', positional('')],
    [`echo "" a=`, 'echo', named({ a: '' }, '')],
    [`echo a'b'"c"d`, 'echo', positional('abcd')],
    [String.raw`echo a\ b \' \" \\ \n`, 'echo', positional('a b', "'", '"', '\\', 'n')],
    [String.raw`echo "a\"b\\c\d"`, 'echo', positional('a"b\\cd')],
    [String.raw`echo 'a\"b\'`, 'echo', positional('a\\"b\\')],
    [`echo "it's" 'say "x"'`, 'echo', positional("it's", 'say "x"')],
    [`echo 'line\nbreak'`, 'echo', positional('line\nbreak')],
    ['echo größe 你好 👩‍👩‍👧 e\u{301}', 'echo', positional('größe', '你好', '👩‍👩‍👧', 'e\u{301}')],
    [String.raw`echo \😀`, 'echo', positional('😀')],
    ['echo a=b=c', 'echo', named({ a: 'b=c' })],
    [`echo a="b c" d='='`, 'echo', named({ a: 'b c', d: '=' })],
    [`echo 'a=b' "a"=b a\\=b`, 'echo', positional('a=b', 'a=b', 'a=b')],
    ['echo =a 1=b -x=1 ä=1 a.b-c_1=x', 'echo', named({ 'a.b-c_1': 'x' }, '=a', '1=b', '-x=1', 'ä=1')],
    ['echo #a', 'echo', positional('#a')],
    ['a=b', 'a=b', positional()],
    [`'pi'ng`, 'ping', positional()],
  ])('%j is read as its name and its parameters', (text, name, params) => {
    expect(request(text)).toEqual({ name, params });
  });

  it('has the id before it, with any characters', () => {
    expect(request('#7 ping')).toEqual({ id: '7', name: 'ping', params: positional() });
    expect(request('  #a"b=\\ \t echo x')).toEqual({ id: 'a"b=\\', name: 'echo', params: positional('x') });
    expect(request('#ü#1\nping').id).toBe('ü#1');
  });

  it('has an id of 64 bytes at most, counted in UTF-8', () => {
    expect(request(`#${'a'.repeat(64)} ping`).id).toHaveLength(64);
    expect(request(`#${'ü'.repeat(32)} ping`).id).toHaveLength(32);
    for (const id of ['a'.repeat(65), 'ü'.repeat(33)]) {
      expect(error(`#${id} ping`)).toMatchObject({ id: undefined, error: { code: 'parse-error' } });
    }
  });

  it.each([
    ['', undefined],
    [' \t ', undefined],
    ['#', undefined],
    ['# ping', undefined],
    ['#7', '7'],
    ['#7   ', '7'],
    [`echo 'a`, undefined],
    [`#7 echo "a`, '7'],
    [`#7 echo "a\\"`, '7'],
    ['#7 echo a\\', '7'],
    ['#7 echo a=1 a=2', '7'],
  ])('%j is a parse error, answered with the id %s', (text, id) => {
    expect(error(text)).toMatchObject({ id, error: { code: 'parse-error' } });
  });

  it('does not change a prototype by a parameter called __proto__', () => {
    const { named: members } = request('echo __proto__=x constructor=y').params;
    expect(Object.getPrototypeOf(members)).toBe(Object.prototype);
    expect(Object.entries(members)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });

  it('is parsed without an exception for any 1300 bytes', () => {
    for (const piece of ['"', "'", '\\', '#', '=', ' ', 'a=', "''", 'a ', '\u{feff}']) {
      const text = piece.repeat(Math.floor(1300 / Buffer.byteLength(piece)));
      expect(parseText(text).entries.length, piece).toBeLessThanOrEqual(1);
    }
  });
});

describe('a text reply that an agent receives', () => {
  it.each([
    'ok',
    'error',
    'ok pong',
    'error busy too many',
    'repeat error busy too many',
    'unrecorded error busy too many',
    '#7 repeat unrecorded error busy too many',
    'forgotten ok',
    '#7 repeat forgotten ok',
    '#7 ok pong',
    '#7 error unknown-command there is none',
    ' \n#7\u{a0}ok',
    '# ok',
    `ok it's here`,
    'ok "open',
    'error parse-error a " is not closed',
    '#7 error parse-error a \\ at the end escapes nothing\\',
    'ok a=1 a=2',
    `#${'x'.repeat(200)} ok`,
  ])('%j is recognised and not answered', (text) => {
    expect(parseText(text)).toEqual(REPLY_MESSAGE);
  });

  it.each(['okay', 'errors', 'ok.x', 'ok=1', 'OK', 'Error'])('%j is a command like any other', (text) => {
    expect(request(text).name).toBe(text);
  });

  it('is never answered, for any command and any reply', () => {
    const arbitraryReply: fc.Arbitrary<Reply> = fc.oneof(
      fc.record({ result: fc.oneof(fc.string({ unit: 'grapheme' }), fc.json(), fc.array(fc.string())) }),
      fc.string({ unit: 'grapheme' }).map((message): Reply => ({ error: { code: 'parse-error', message } })),
      fc.string({ unit: 'grapheme' }).map((message): Reply => ({ error: { code: 'busy', message }, recorded: false })),
      fc.constant<Reply>({ result: undefined, forgotten: true }),
    );
    const id = fc.option(fc.stringMatching(/^[^\s\p{C}]{1,9}$/u), { nil: undefined });
    fc.assert(
      fc.property(id, arbitraryReply, (replyId, one) => {
        expect(parseText(formatTextReply(replyId, one, LIMIT).toString())).toEqual(REPLY_MESSAGE);
      }),
      { seed: SEED, numRuns: 500 },
    );
    for (const broken of [`echo 'a`, 'echo "', 'echo \\', '#', 'echo a=1 a=1', '#1 echo "']) {
      const { id: brokenId, error: why } = error(broken);
      expect(parseText(formatTextReply(brokenId, { error: why }, LIMIT).toString()), broken).toEqual(REPLY_MESSAGE);
    }
  });
});

describe('quoting', () => {
  it('can be read back for every word, by position and by name', () => {
    const word = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom("'", '"', '\\', '#', '=', ' ', '\n', '\u{2003}', 'a') }),
    );
    const key = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]{0,8}$/);
    fc.assert(
      fc.property(fc.array(word), fc.dictionary(key, word, { noNullPrototype: true }), (words, members) => {
        const written = [...words.map(quoteWord), ...Object.entries(members).map(([k, v]) => `${k}=${quoteWord(v)}`)];
        const { params } = request(['echo', ...written].join(' '));
        expect(params.positional).toEqual(words);
        expect(Object.entries(params.named)).toEqual(Object.entries(members));
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  it('has the same words whatever separates them', () => {
    const plain = fc.string({ unit: fc.constantFrom('a', 'B', '7', '=', '#', '_', '.', '-', '~', ' ') });
    fc.assert(
      fc.property(plain, (line) => {
        expect(parseText(`echo ${line}`)).toEqual(parseText(`echo ${line}`.replaceAll(' ', '\t')));
        expect(parseText(`echo ${line} é`)).toEqual(parseText(`echo ${line} é`.replaceAll(' ', '\u{2003}')));
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  it('does not quote plain words', () => {
    expect([quoteWord('plain'), quoteWord(-1.5), quoteWord(true), quoteWord('')]).toEqual([
      'plain',
      '-1.5',
      'true',
      `''`,
    ]);
  });
});

describe('words that a shell has split', () => {
  it('are sorted by name and by position, with any values', () => {
    expect(paramsFromWords(['a', 'b=c d=\n"', '=x', '1=2'])).toEqual(named({ b: 'c d=\n"' }, 'a', '=x', '1=2'));
  });

  it('are refused when a name is given twice', () => {
    expect(() => paramsFromWords(['a=1', 'a=2'])).toThrow(SyntaxError);
  });
});
