import { isUtf8 } from 'node:buffer';
import { decode as decodeCbor, encode as encodeCbor } from 'cborg';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodableReply, encodeAnswers, fitReply, markRepeat } from '../../../../agent/command/codec/encode.js';
import type { CommandId, Format, Reply } from '../../../../shared/command.js';
import { ERRORS, type FinalCode, type WireCode } from '../../../../shared/errors.js';
import type { Answer } from '../../../../shared/format/json-rpc.js';
import { SEED } from '../../../support/seed.js';

const LIMIT = 1300;
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const FINAL_CODES: readonly FinalCode[] = [
  'busy',
  'handler-failed',
  'handler-timeout',
  'unknown-command',
  'bad-params',
];

const longText = fc
  .tuple(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 600 }), fc.string())
  .map(([piece, times, end]) => piece.repeat(times) + end);
const longBytes = fc
  .tuple(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 400 }))
  .map(([piece, times]) => new Uint8Array(Buffer.concat(Array.from({ length: times }, () => piece))));
const nested = fc.oneof(
  // Neither notation keeps a minus before 0.
  fc.json({ maxDepth: 3 }).map((text): unknown => JSON.parse(text.replaceAll(/-0(?![.\d])/g, '0'))),
  fc.array(longText, { maxLength: 4 }),
  fc.record({
    text: longText,
    bytes: longBytes,
    list: fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0)),
  }),
);
const reply: fc.Arbitrary<Reply> = fc.oneof(
  fc.record({ result: fc.oneof(longText, longBytes, nested, fc.constant(undefined)) }),
  fc.record({ error: fc.record({ code: fc.constantFrom(...FINAL_CODES), message: longText }) }),
);
const id: fc.Arbitrary<CommandId> = fc.oneof(
  fc.string({ maxLength: 16 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => Buffer.byteLength(text) <= 64),
  fc.constant('\u{1}'.repeat(64)),
  fc.maxSafeInteger(),
  fc.constant(null),
);

/** A value as JSON carries it: bytes as Base64. */
function jsonForm(value: unknown): unknown {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(jsonForm);
  if (typeof value !== 'object' || value === null) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, jsonForm(member)]));
}

/** One of the two formats that carry JSON-RPC: how to write and read it, independently of the code under test. */
interface Notation {
  readonly format: Format;
  readonly size: (document: unknown) => number;
  readonly read: (bytes: Uint8Array) => unknown;
  /** A result as one reads it back. */
  readonly form: (result: unknown) => unknown;
}

const NOTATIONS: readonly Notation[] = [
  {
    format: 'json',
    size: (document) => Buffer.byteLength(JSON.stringify(document)),
    read: (bytes) => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
    form: jsonForm,
  },
  {
    format: 'cbor',
    size: (document) => encodeCbor(document).length,
    read: (bytes) => decodeCbor(bytes),
    form: (result) => result ?? null,
  },
];

function encode(format: Format, answers: readonly Answer[], batch = false): Buffer {
  const bytes = encodeAnswers(format, answers, batch);
  if (bytes === undefined) throw new Error('nothing was written');
  return Buffer.from(bytes);
}

const wholeError = (code: WireCode, message: string) => ({ code: ERRORS[code].wire.jsonRpc, message, data: { code } });

const wholeResponse = ({ form }: Notation, { id: of, reply: { ...one } }: Answer) => {
  const start = { jsonrpc: '2.0', id: of ?? null };
  if ('error' in one) return { ...start, error: wholeError(one.error.code, one.error.message) };
  return { ...start, result: form(one.result) };
};

/** What a reply that is cut has the head of: its text, or its bytes. */
function wholeContent(one: Reply): string | Uint8Array {
  if ('error' in one) return one.error.message;
  if (typeof one.result === 'string' || one.result instanceof Uint8Array) return one.result;
  return JSON.stringify(jsonForm(one.result));
}

/** Whether `head` is a beginning of the whole that ends between two characters. */
function isHead(head: unknown, whole: string | Uint8Array, notation: Notation): boolean {
  if (typeof whole === 'string') {
    return typeof head === 'string' && whole.startsWith(head) && !/^[\udc00-\udfff]/.test(whole.slice(head.length));
  }
  if (head === '') return true;
  const heads = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length));
  return heads.some((one) => JSON.stringify(notation.form(one)) === JSON.stringify(head));
}

describe.each(NOTATIONS.map((notation) => [notation.format, notation] as const))(
  'a reply in %s',
  (format, notation) => {
    it('is whole when it fits, and else cut as little as it takes, with its true size', () => {
      fc.assert(
        fc.property(id, reply, (replyId, one) => {
          const answer = { id: replyId, reply: one };
          const bytes = encode(format, [answer]);
          expect(bytes.length).toBeLessThanOrEqual(LIMIT);
          const response = notation.read(bytes);
          const whole = wholeResponse(notation, answer);
          if (notation.size(whole) <= LIMIT) {
            expect(response).toEqual(whole);
            return;
          }
          const content = wholeContent(one);
          // A character is 12 bytes of JSON at most (two escapes), Base64 grows by 4.
          expect(bytes.length).toBeGreaterThan(LIMIT - 13);
          if ('error' in one) {
            expect(response).toEqual({ ...whole, error: wholeError(one.error.code, expect.any(String)) });
            expect(response).toMatchObject({
              error: { message: expect.toSatisfy((head) => isHead(head, content, notation)) },
            });
          } else {
            const size = typeof content === 'string' ? Buffer.byteLength(content) : content.length;
            expect(response).toEqual({
              jsonrpc: '2.0',
              id: replyId,
              result: { cut: true, bytes: size, head: expect.toSatisfy((head) => isHead(head, content, notation)) },
            });
          }
        }),
        { seed: SEED, numRuns: 300 },
      );
    });

    it('fits one datagram together with 15 others, each whole or cut with its true size, and leaves little room unused', () => {
      fc.assert(
        fc.property(fc.array(reply, { minLength: 16, maxLength: 16 }), (replies) => {
          const answers = replies.map((one, index) => ({ id: index, reply: one }));
          const bytes = encode(format, answers, true);
          expect(bytes.length).toBeLessThanOrEqual(LIMIT);
          const responses = notation.read(bytes);
          const wholes = answers.map((answer) => wholeResponse(notation, answer));
          if (notation.size(wholes) <= LIMIT) {
            expect(responses).toEqual(wholes);
            return;
          }
          // One byte more of head is at most 16 bytes more for each.
          expect(bytes.length).toBeGreaterThan(LIMIT - 16 * 16);
          expect(responses).toHaveLength(16);
          for (const [index, response] of Object.values(Array.isArray(responses) ? responses : []).entries()) {
            const one = replies[index] ?? { result: null };
            const whole = wholes[index];
            const content = wholeContent(one);
            if (notation.size(response) >= notation.size(whole)) {
              // What would be no shorter for it is not cut.
              expect(response).toEqual(whole);
              continue;
            }
            if ('error' in one) {
              expect(response).toMatchObject({ id: index, error: { code: ERRORS[one.error.code].wire.jsonRpc } });
              continue;
            }
            const size = typeof content === 'string' ? Buffer.byteLength(content) : content.length;
            expect(response).toMatchObject({ id: index, result: { cut: true, bytes: size } });
          }
        }),
        { seed: SEED, numRuns: 60 },
      );
    });

    it('carries every byte value', () => {
      const response = notation.read(encode(format, [{ id: 1, reply: { result: { data: ALL_BYTES } } }]));
      const data = format === 'json' ? { base64: ALL_BYTES.toString('base64') } : new Uint8Array(ALL_BYTES);
      expect(response).toEqual({ jsonrpc: '2.0', id: 1, result: { data } });
    });

    it('is nothing when nobody wants one', () => {
      expect(encodeAnswers(format, [], true)).toBe(undefined);
    });

    it('is a bad reply when it cannot be written, whole or cut', () => {
      for (const result of [() => 1, [Symbol('x')], { long: 'x'.repeat(2000), big: 1n }]) {
        expect(encodableReply(format, { id: 1, reply: { result } })).toMatchObject({ error: { code: 'bad-reply' } });
      }
      const fine: Reply = { result: 'x'.repeat(5000) };
      expect(encodableReply(format, { id: 1, reply: fine })).toBe(fine);
    });
  },
);

describe('a reply in text', () => {
  const textId = fc.option(fc.stringMatching(/^[^\s\p{C}]{1,16}$/u), { nil: undefined });

  it('is whole when it fits, and else cut between two characters, with a mark of its true size', () => {
    const textReply = fc.oneof(
      longText.map((result): [Reply, string, string] => [{ result }, 'ok ', result]),
      longText
        .filter((message) => !/[\r\n]/.test(message) && message === message.trim())
        .map((message): [Reply, string, string] => [{ error: { code: 'busy', message } }, 'error busy ', message]),
      fc
        .array(longText, { minLength: 1, maxLength: 3 })
        .map((list): [Reply, string, string] => [{ result: { list } }, 'ok ', JSON.stringify({ list })]),
    );
    fc.assert(
      fc.property(textId, textReply, (replyId, [one, words, content]) => {
        const bytes = encode('text', [{ id: replyId, reply: one }]);
        const whole = `${replyId === undefined ? '' : `#${replyId} `}${words}${content}`;
        const written = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
        if (Buffer.byteLength(whole) <= LIMIT) {
          expect(written).toBe(whole);
          return;
        }
        const mark = ` …[cut, ${Buffer.byteLength(content)} bytes]`;
        expect(written.endsWith(mark)).toBe(true);
        expect(whole.startsWith(written.slice(0, -mark.length))).toBe(true);
        expect(bytes.length).toBeLessThanOrEqual(LIMIT);
        expect(bytes.length).toBeGreaterThan(LIMIT - 4);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it('carries every byte value as it is', () => {
    expect(encode('text', [{ id: '7', reply: { result: ALL_BYTES } }])).toEqual(
      Buffer.concat([Buffer.from('#7 ok '), ALL_BYTES]),
    );
  });

  it('is cut with its size when it is more bytes than fit', () => {
    const bytes = encode('text', [{ id: undefined, reply: { result: Buffer.alloc(3000, 0xff) } }]);
    expect(bytes).toHaveLength(LIMIT);
    expect(bytes.subarray(0, 4)).toEqual(Buffer.from([0x6f, 0x6b, 0x20, 0xff]));
    expect(bytes.toString().endsWith(' …[cut, 3000 bytes]')).toBe(true);
  });
});

describe('a result that its handler has cut', () => {
  const total = 100_000_000;
  const cutTo = (head: string | Uint8Array): Reply => ({ result: { cut: true, bytes: total, head } });
  const mark = Buffer.from(` …[cut, ${total} bytes]`);
  const heads: readonly [string, string | Uint8Array][] = [
    ['a head that fits', 'ab€'],
    ['a head that is cut again', '€'.repeat(20_000)],
    ['no head', ''],
    ['bytes', Uint8Array.of(0xff, 0xfe)],
    ['bytes that are cut again', new Uint8Array(2000).fill(0xff)],
  ];

  it.each(heads)('states its true size once in text: %s', (_, head) => {
    const whole = Buffer.concat([Buffer.from('#7 ok '), Buffer.from(head)]);
    const bytes = encode('text', [{ id: '7', reply: cutTo(head) }]);
    const kept = bytes.subarray(0, -mark.length);
    expect(bytes.subarray(kept.length)).toEqual(mark);
    expect(whole.subarray(0, kept.length)).toEqual(kept);
    expect(bytes.length).toBeLessThanOrEqual(LIMIT);
    if (kept.length < whole.length) expect(bytes.length).toBeGreaterThan(LIMIT - 4);
    if (typeof head === 'string') expect(isUtf8(bytes)).toBe(true);
  });

  it.each(
    NOTATIONS.flatMap((notation) => heads.map(([what, head]) => [notation.format, what, head, notation] as const)),
  )('states its true size once in %s, alone and in a batch: %s', (format, _, head, notation) => {
    for (const answers of [[1], [1, 2, 3]]) {
      const batch = answers.length > 1;
      const bytes = encode(
        format,
        answers.map((answerId) => ({ id: answerId, reply: cutTo(head) })),
        batch,
      );
      expect(bytes.length).toBeLessThanOrEqual(LIMIT);
      const response = notation.read(bytes);
      const kept = head.length < 10 ? notation.form(head) : expect.toSatisfy((one) => isHead(one, head, notation));
      const result = { cut: true, bytes: total, head: kept };
      const responses = answers.map((answerId) => ({ jsonrpc: '2.0', id: answerId, result }));
      expect(response).toEqual(batch ? responses : responses[0]);
    }
  });

  it('is not what looks like one and says more', () => {
    const result = { cut: true, bytes: 5, head: 'x', tail: 'y' };
    expect(encode('text', [{ id: '7', reply: { result } }]).toString()).toBe('#7 ok cut=true bytes=5 head=x tail=y');
  });
});

describe('a raw reply', () => {
  it('is the handler’s bytes, or its string, and nothing else', () => {
    expect(encode('raw', [{ id: undefined, reply: { result: ALL_BYTES } }])).toEqual(ALL_BYTES);
    expect(encode('raw', [{ id: undefined, reply: { result: 'grün' } }])).toEqual(Buffer.from('grün'));
    expect(encode('raw', [{ id: undefined, reply: { result: Buffer.alloc(LIMIT, 0xff) } }])).toHaveLength(LIMIT);
  });

  it('is nothing for an error, or for no result', () => {
    const replies: Reply[] = [{ error: { code: 'busy', message: 'x' } }, { result: undefined }, { result: null }];
    for (const one of replies) expect(encodeAnswers('raw', [{ id: undefined, reply: one }], false)).toBe(undefined);
  });

  it('fails above 1300 bytes, and for what is no bytes', () => {
    const tooLong = { id: undefined, reply: { result: Buffer.alloc(LIMIT + 1) } };
    expect(encodableReply('raw', tooLong)).toMatchObject({ error: { code: 'reply-too-large' } });
    for (const result of [1, { a: 1 }, [1]]) {
      expect(encodableReply('raw', { id: undefined, reply: { result } })).toMatchObject({
        error: { code: 'bad-reply' },
      });
    }
  });
});

describe('a reply that was made when more could leave', () => {
  const LESS = 200;
  const text = 'ü'.repeat(2000);
  const read = { json: (bytes: Uint8Array) => JSON.parse(String(Buffer.from(bytes))), cbor: decodeCbor };

  it.each(['json', 'cbor'] as const)('is cut in %s as it would be made now', (format) => {
    const answers: Answer[] = [{ id: 'a', reply: { result: text, clockSynchronized: false } }];
    for (const before of [LIMIT, 10_000]) {
      const kept = encodeAnswers(format, answers, false, before) ?? Buffer.alloc(0);
      expect(read[format](fitReply(format, kept, LESS))).toEqual(
        read[format](encodeAnswers(format, answers, false, LESS) ?? Buffer.alloc(0)),
      );
    }
  });

  it.each(['json', 'cbor'] as const)(
    'keeps in %s the ids of a batch, the codes of errors, and that it is a repeat',
    (format) => {
      const answers: Answer[] = [
        { id: 1, reply: { result: text } },
        { id: 2, reply: { error: { code: 'busy', message: text }, recorded: false } },
      ];
      const kept = encodeAnswers(format, answers, true, 1000) ?? Buffer.alloc(0);
      const cut = markRepeat(format, kept, 350);
      expect(cut.length).toBeLessThanOrEqual(350);
      expect(read[format](cut)).toMatchObject([
        { id: 1, repeat: true, result: { cut: true, bytes: 4000 } },
        { id: 2, repeat: true, error: { code: ERRORS.busy.wire.jsonRpc, data: { code: 'busy', recorded: false } } },
      ]);
    },
  );

  it('is cut in text, and its mark keeps the size of the whole', () => {
    const kept = encodeAnswers('text', [{ id: 1, reply: { result: text } }], false) ?? Buffer.alloc(0);
    const cut = String(markRepeat('text', kept, LESS));
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(LESS);
    expect(cut).toMatch(/^#1 repeat ok ü+ …\[cut, 4000 bytes\]$/);
  });

  it('stays as it is where it fits, and on a raw port', () => {
    const bytes = Buffer.alloc(300, 'x');
    for (const format of ['text', 'json', 'cbor', 'raw'] as const) expect(fitReply(format, bytes, 300)).toBe(bytes);
    expect(fitReply('raw', bytes, LESS)).toBe(bytes);
  });
});
