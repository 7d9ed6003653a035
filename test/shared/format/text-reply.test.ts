import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Reply } from '../../../shared/command.js';
import { isSupersimError } from '../../../shared/errors.js';
import { cutMark } from '../../../shared/format/cut.js';
import { formatTextReply, markTextRepeat, parseTextReply } from '../../../shared/format/text-reply.js';
import { SEED } from '../../support/seed.js';

const LIMIT = 1300;

const reply = (result: Reply, id?: string) => formatTextReply(id, result, LIMIT).toString();

describe('formatTextReply', () => {
  it.each<[unknown, string]>([
    ['pong', 'ok pong'],
    ['', 'ok'],
    [undefined, 'ok'],
    [null, 'ok'],
    [0, 'ok 0'],
    [false, 'ok false'],
    [[], 'ok'],
    [{}, 'ok'],
    [['a', 1, true, 'b c'], `ok a 1 true 'b c'`],
    [{ a: 1, b: 'c d', e: undefined }, `ok a=1 b='c d'`],
    [{ a: [1] }, 'ok {"a":[1]}'],
    [{ 'a b': 1 }, 'ok {"a b":1}'],
    [[1, null], 'ok [1,null]'],
    [[{ data: Buffer.from('hi') }], 'ok [{"data":{"base64":"aGk="}}]'],
    ['two\nlines', 'ok two\nlines'],
  ])('is written for the result %j', (result, text) => {
    expect(reply({ result })).toBe(text);
  });

  it('starts with the command’s id', () => {
    expect(reply({ result: 'pong' }, 'a#1')).toBe('#a#1 ok pong');
    expect(reply({ error: { code: 'busy', message: 'too many' } }, '7')).toBe('#7 error busy too many');
  });

  it('says what the device could not record, and what it no longer remembers', () => {
    expect(reply({ error: { code: 'busy', message: 'too many' }, recorded: false }, '7')).toBe(
      '#7 unrecorded error busy too many',
    );
    expect(reply({ error: { code: 'busy', message: 'x' }, recorded: false })).toBe('unrecorded error busy x');
    expect(reply({ result: undefined, forgotten: true }, '7')).toBe('#7 forgotten ok');
  });

  it('never has the identity of the journal', () => {
    expect(reply({ result: 'pong', journal: '0123456789ab:1' }, '7')).toBe('#7 ok pong');
    expect(reply({ error: { code: 'busy', message: 'x' }, journal: '0123456789ab:1' }, '7')).toBe('#7 error busy x');
  });

  it('has an error on one line', () => {
    expect(reply({ error: { code: 'handler-failed', message: 'a \r\n\n b\nc\n' } })).toBe(
      'error handler-failed a; b; c;',
    );
  });

  it.each([[() => 1], [Symbol('x')], [10n], [[10n]]])('cannot be written for %o', (result) => {
    try {
      reply({ result });
      expect.unreachable('it was written');
    } catch (thrown) {
      expect(isSupersimError(thrown, 'bad-reply')).toBe(true);
    }
  });
});

describe('parseTextReply', () => {
  const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 16 }).filter((text) => !/[\s\p{Cc}]/u.test(text));
  const result = fc.oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1000 }).filter((text) => text.isWellFormed()),
    fc.uint8Array({ minLength: 1, maxLength: 1000 }).map((bytes) => Buffer.from(bytes)),
  );
  const text = (value: unknown) => (typeof value === 'string' ? Buffer.from(value) : value);

  it('reads the id, the result and the repeat mark that were written', () => {
    fc.assert(
      fc.property(id, result, fc.boolean(), (given, value, repeat) => {
        const written = formatTextReply(given, { result: value }, 10_000);
        const read = parseTextReply(repeat ? markTextRepeat(written) : written);
        expect(read).toMatchObject({ id: given, repeat, answer: { cut: false } });
        expect(text(read && 'result' in read.answer && read.answer.result)).toEqual(text(value));
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  it('reads the error’s code and message', () => {
    const message = fc
      .string({ unit: 'grapheme', maxLength: 200 })
      .map((words) => words.replaceAll(/[\r\n]/g, ' ').trim());
    fc.assert(
      fc.property(id, message, fc.boolean(), (given, words, repeat) => {
        const written = formatTextReply(given, { error: { code: 'busy', message: words } }, 10_000);
        expect(parseTextReply(repeat ? markTextRepeat(written) : written)).toEqual({
          ...{ id: given, repeat },
          answer: { error: { code: 'busy', message: words } },
        });
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  it('reads the marks that were written, also in a repeat', () => {
    for (const repeat of [true, false]) {
      const read = (one: Reply) => {
        const written = formatTextReply('7', one, LIMIT);
        return parseTextReply(repeat ? markTextRepeat(written) : written);
      };
      const error = { code: 'busy', message: 'x' } as const;
      expect(read({ error, recorded: false })).toEqual({ id: '7', repeat, answer: { error, recorded: false } });
      expect(read({ error })).toEqual({ id: '7', repeat, answer: { error } });
      expect(read({ result: undefined, forgotten: true })).toEqual({
        ...{ id: '7', repeat },
        answer: { result: undefined, cut: false, forgotten: true },
      });
    }
  });

  it('keeps the mark of an error that is cut', () => {
    const written = formatTextReply(
      '7',
      { error: { code: 'busy', message: 'x'.repeat(5000) }, recorded: false },
      LIMIT,
    );
    expect(written).toHaveLength(LIMIT);
    expect(parseTextReply(written)).toMatchObject({ answer: { error: { code: 'busy' }, recorded: false } });
  });

  it('reads no result when the handler returned nothing', () => {
    expect(parseTextReply(formatTextReply('7', { result: undefined }, LIMIT))).toEqual({
      ...{ id: '7', repeat: false },
      answer: { result: undefined, cut: false },
    });
  });

  it.each([
    ['text', 'ä'.repeat(1000), 2000],
    ['bytes', Buffer.alloc(2000, 0xff), 2000],
  ])('reads that %s was cut', (_, value, size) => {
    const written = formatTextReply('7', { result: value }, LIMIT);
    expect(written.length).toBeLessThanOrEqual(LIMIT);
    expect(parseTextReply(written)).toMatchObject({ answer: { cut: true } });
    expect(written.toString().endsWith(cutMark(size))).toBe(true);
  });
});

describe('the repeat mark', () => {
  it.each([
    ['#7 ok pong', '#7 repeat ok pong'],
    ['#à error busy no', '#à repeat error busy no'],
    ['ok pong', 'repeat ok pong'],
    ['error busy', 'repeat error busy'],
    ['#7 unrecorded error busy no', '#7 repeat unrecorded error busy no'],
    ['#7 forgotten ok', '#7 repeat forgotten ok'],
  ])('of “%s” stands after the id', (written, marked) => {
    expect(markTextRepeat(Buffer.from(written)).toString()).toBe(marked);
  });
});

it.each([
  '',
  'ok',
  'ok pong',
  '#7',
  '#7 okay',
  '# ok',
  '#7 repeat',
  '#7 repeat repeat ok',
  '#7 unrecorded ok',
  '#7 forgotten error busy x',
  '#7 unrecorded',
  '#7 forgotten repeat ok',
  '#7 unrecorded forgotten ok',
  '#7  ok',
  'x #7 ok',
  '#7 ping',
])('parseTextReply ignores “%s”', (text) => {
  expect(parseTextReply(Buffer.from(text))).toBeUndefined();
});
