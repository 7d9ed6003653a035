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
    expect(written.toString().endsWith(cutMark(`#7 ok `.length + size))).toBe(true);
  });
});

describe('the repeat mark', () => {
  it.each([
    ['#7 ok pong', '#7 repeat ok pong'],
    ['#à error busy no', '#à repeat error busy no'],
    ['ok pong', 'repeat ok pong'],
    ['error busy', 'repeat error busy'],
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
  '#7  ok',
  'x #7 ok',
  '#7 ping',
])('parseTextReply ignores “%s”', (text) => {
  expect(parseTextReply(Buffer.from(text))).toBeUndefined();
});
