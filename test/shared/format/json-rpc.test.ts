import { decode, encode } from 'cborg';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CommandId, Reply } from '../../../shared/command.js';
import { ERRORS } from '../../../shared/errors.js';
import { LONGEST_JOURNAL_IDENTITY } from '../../../shared/format/journal-identity.js';
import { type Answer, formatJsonRpc, MAX_BATCH, parseJsonRpc, type Writer } from '../../../shared/format/json-rpc.js';
import { type Message, REPLY_MESSAGE } from '../../../shared/format/message.js';
import { SEED } from '../../support/seed.js';

const json: Writer = (document) => Buffer.from(JSON.stringify(document));
const parse = (document: unknown) => parseJsonRpc(document, json);
const request = (id: unknown, method = 'ping') => ({ id, method });
const JOURNAL = '0123456789ab:86400';

/** The error codes in a message, with the ids that they go back under; requests are `ok`. */
const codes = ({ entries }: Message) =>
  entries.map((entry) => ('error' in entry ? [entry.id, entry.error.code] : [entry.request.id, 'ok']));

describe('a JSON-RPC request', () => {
  it('is read with parameters by position, by name, or without', () => {
    expect(parse({ jsonrpc: '2.0', method: 'a.b', params: [1, [2]], id: 7 })).toEqual({
      entries: [{ request: { id: 7, name: 'a.b', params: { positional: [1, [2]], named: {} } } }],
      batch: false,
    });
    expect(parse({ method: 'a', params: { x: 1 }, id: 'i' })).toEqual({
      entries: [{ request: { id: 'i', name: 'a', params: { positional: [], named: { x: 1 } } } }],
      batch: false,
    });
    expect(parse({ method: 'a', id: null })).toEqual({
      entries: [{ request: { id: null, name: 'a', params: { positional: [], named: {} } } }],
      batch: false,
    });
  });

  it('is a notification when it has no id', () => {
    expect(parse({ method: 'a' }).entries).toEqual([{ request: { name: 'a', params: { positional: [], named: {} } } }]);
  });

  it.each<[CommandId]>([
    ['a'],
    [''],
    ['x'.repeat(64)],
    ['ü'.repeat(32)],
    [0],
    [-1],
    [1.5],
    [Number.MAX_SAFE_INTEGER],
    [null],
  ])('may have the id %j', (id) => {
    expect(codes(parse(request(id)))).toEqual([[id, 'ok']]);
  });

  it('asks for the identity of the journal by a member that is true', () => {
    const asks = (journal: unknown) =>
      parse({ ...request(1), journal }).entries.map((entry) => 'request' in entry && entry.request.asksJournal);
    expect(asks(true)).toEqual([true]);
    for (const other of [undefined, false, 'true', 1, null, {}]) expect(asks(other)).toEqual([undefined]);
  });

  it.each([
    [true],
    [{}],
    [[]],
    [['a']],
    ['x'.repeat(65)],
    ['ü'.repeat(33)],
    [new Uint8Array(3)],
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [2 ** 53],
    [-(2 ** 53)],
  ])('is refused with the id null when its id is %o, which could not be returned as it is', (id) => {
    expect(codes(parse(request(id)))).toEqual([[null, 'invalid-request']]);
  });

  it.each([
    ['no method', { id: 1 }],
    ['a method that is no string', { id: 1, method: 1 }],
    ['a method that is null', { id: 1, method: null }],
    ['another version', { id: 1, jsonrpc: '1.0', method: 'ping' }],
    ['a version that is a number', { id: 1, jsonrpc: 2, method: 'ping' }],
    ['params that are a string', { id: 1, method: 'ping', params: 'x' }],
    ['params that are null', { id: 1, method: 'ping', params: null }],
    ['params that are bytes', { id: 1, method: 'ping', params: new Uint8Array(1) }],
  ])('is refused, with its id, with %s', (_what, document) => {
    expect(codes(parse(document))).toEqual([[1, 'invalid-request']]);
  });

  it.each([[null], [1], ['ping'], [true], [undefined], [new Uint8Array(2)]])('is not %o', (document) => {
    expect(codes(parse(document))).toEqual([[null, 'invalid-request']]);
  });
});

describe('a JSON-RPC response', () => {
  it.each([
    [{ jsonrpc: '2.0', id: 1, result: 'pong' }],
    [{ id: 1, result: null }],
    [{ jsonrpc: '2.0', id: null, error: { code: -32700, message: 'x' } }],
    [{ error: 1 }],
    [
      [
        { id: 1, result: 1 },
        { id: 2, error: {} },
      ],
    ],
  ])('is ignored: %j', (document) => {
    expect(parse(document)).toMatchObject({ entries: [] });
  });

  it('in a batch with requests is ignored', () => {
    expect(codes(parse([{ id: 1, result: 1 }, request(2), { id: 3, error: {} }]))).toEqual([[2, 'ok']]);
  });

  it('of every kind that the agent writes is ignored by the agent', () => {
    const replies: Reply[] = [
      { result: undefined },
      { result: 'x'.repeat(5000) },
      { result: Buffer.alloc(5000) },
      { result: undefined, forgotten: true, journal: JOURNAL },
      { error: { code: 'busy', message: 'x'.repeat(5000) }, recorded: false, journal: JOURNAL },
      ...Object.entries(ERRORS).flatMap(([code]): Reply[] =>
        isWireCode(code) ? [{ error: { code, message: 'x'.repeat(5000) } }] : [],
      ),
    ];
    for (const reply of replies) {
      for (const batch of [true, false]) {
        const written = formatJsonRpc([{ id: 1, reply }], batch, json, 1300);
        expect(parse(JSON.parse(Buffer.from(written).toString())).entries).toEqual([]);
      }
    }
    expect(parse({ jsonrpc: '2.0', id: 1, result: 1 })).toEqual(REPLY_MESSAGE);
  });
});

const isWireCode = (code: string): code is 'busy' =>
  code in ERRORS && 'wire' in (new Map<string, object>(Object.entries(ERRORS)).get(code) ?? {});

describe('a batch', () => {
  it('is refused when it is empty or too long', () => {
    expect(parse([])).toMatchObject({ batch: false, entries: [{ error: { code: 'invalid-request' } }] });
    const many = (count: number) => Array.from({ length: count }, (_, id) => request(id % 10));
    expect(codes(parse(many(MAX_BATCH)))).toHaveLength(MAX_BATCH);
    expect(codes(parse(many(MAX_BATCH))).every(([, code]) => code === 'ok')).toBe(true);
    expect(codes(parse(many(MAX_BATCH + 1)))).toEqual([[undefined, 'invalid-request']]);
  });

  it('gets an error for each entry that is not a request', () => {
    expect(codes(parse([1, request(7), [], { method: 'note' }]))).toEqual([
      [null, 'invalid-request'],
      [7, 'ok'],
      [null, 'invalid-request'],
      [undefined, 'ok'],
    ]);
    expect(parse([1]).batch).toBe(true);
  });

  it('is refused when its ids alone could make the replies too long', () => {
    const ids = (count: number, letter: string) =>
      Array.from({ length: count }, (_, index) => request(letter.repeat(62) + String(index).padStart(2, '0')));
    expect(codes(parse(ids(9, 'x')))).toHaveLength(9);
    expect(codes(parse(ids(16, 'x')))).toEqual([[undefined, 'invalid-request']]);
    // Six bytes of JSON each, one of UTF-8.
    expect(codes(parse(ids(4, '\u{1}')))).toEqual([[undefined, 'invalid-request']]);
    expect(codes(parseJsonRpc(ids(4, '\u{1}'), encode))).toHaveLength(4);
  });

  it('is not refused for notifications, which have no replies', () => {
    const long = Array.from({ length: 9 }, (_, index) => request('x'.repeat(63) + index));
    const notes = Array.from({ length: 7 }, () => ({ method: 'note' }));
    expect(codes(parse([...long, ...notes]))).toHaveLength(16);
  });
});

describe('the marks of a reply', () => {
  const response = (reply: Reply) =>
    JSON.parse(Buffer.from(formatJsonRpc([{ id: 1, reply }], false, json, 1300)).toString());

  it('are members of the response, or of the error’s data', () => {
    const busy = { code: 'busy', message: 'x' } as const;
    const head = { jsonrpc: '2.0', id: 1 };
    expect(response({ result: undefined, forgotten: true })).toEqual({ ...head, result: null, forgotten: true });
    expect(response({ result: 1, journal: JOURNAL })).toEqual({ ...head, result: 1, journal: JOURNAL });
    expect(response({ error: busy, recorded: false, journal: JOURNAL })).toEqual({
      ...head,
      error: { code: -32002, message: 'x', data: { code: 'busy', recorded: false } },
      journal: JOURNAL,
    });
    expect(response({ error: busy })).toEqual({
      ...head,
      error: { code: -32002, message: 'x', data: { code: 'busy' } },
    });
  });
});

/** The response objects in what was written. */
function written(answers: readonly Answer[], write: Writer = json): unknown[] {
  const bytes = formatJsonRpc(answers, true, write, 1300);
  expect(bytes.length).toBeLessThanOrEqual(1300);
  const document: unknown = write === json ? JSON.parse(Buffer.from(bytes).toString()) : decode(bytes);
  if (!Array.isArray(document)) throw new Error('no batch was written');
  return document;
}

describe('a result that does not fit one datagram', () => {
  const text = fc.string({
    minLength: 200,
    maxLength: 3000,
    unit: fc.constantFrom('a', '"', '\\', 'é', '\u{1f600}', '\n'),
  });

  it.each<[string, Writer]>([
    ['JSON', json],
    ['CBOR', (document) => encode(document)],
  ])('is cut in %s to the longest head that fits, also where it was cut before', (_, write) => {
    fc.assert(
      fc.property(text, fc.integer({ min: 80, max: 1300 }), fc.boolean(), (whole, limit, wasCut) => {
        const bytes = wasCut ? 100_000 : Buffer.byteLength(whole);
        const result = wasCut ? { cut: true, bytes, head: whole } : whole;
        const response = (value: unknown) => write({ jsonrpc: '2.0', id: 1, result: value });
        fc.pre(response(result).length > limit);
        // One character more after the other.
        let longest = 0;
        let head = '';
        for (const character of ['', ...whole]) {
          head += character;
          const { length } = response({ cut: true, bytes, head });
          if (length > limit) break;
          longest = length;
        }
        expect(formatJsonRpc([{ id: 1, reply: { result } }], false, write, limit)).toHaveLength(longest);
      }),
      { seed: SEED, numRuns: 300 },
    );
  });
});

describe('replies to a batch that do not fit one datagram', () => {
  it('are cut to one length, short ones not at all', () => {
    const small = Array.from({ length: 9 }, (_, id) => ({ id, reply: { result: 'y'.repeat(90) } }));
    const responses = written([...small, { id: 9, reply: { result: 'x'.repeat(5000) } }]);
    expect(responses.slice(0, 9)).toEqual(small.map(({ id, reply }) => ({ jsonrpc: '2.0', id, ...reply })));
    expect(responses[9]).toMatchObject({ id: 9, result: { cut: true, bytes: 5000 } });
  });

  it('are complete for 16 unknown commands, without the data that repeats the code', () => {
    const answers = Array.from({ length: 16 }, (_, id) => ({
      id,
      reply: { error: { code: 'unknown-command' as const, message: 'there is no command of that name' } },
    }));
    const responses = written(answers);
    expect(responses).toHaveLength(16);
    for (const [id, response] of responses.entries()) {
      expect(response).toEqual({ jsonrpc: '2.0', id, error: { code: -32601, message: expect.any(String) } });
    }
  });

  it('keep their marks, whatever is cut', () => {
    const replies: Reply[] = [
      { result: 'x'.repeat(5000), clockSynchronized: false, journal: JOURNAL },
      { result: new Uint8Array(5000), forgotten: true, journal: JOURNAL },
      { error: { code: 'busy', message: 'x'.repeat(5000) }, recorded: false, journal: JOURNAL },
    ];
    const responses = written(
      replies.map((reply, id) => ({ id, reply })),
      encode,
    );
    expect(responses).toMatchObject([
      { result: { cut: true }, clockSynchronized: false, journal: JOURNAL },
      { result: { cut: true }, forgotten: true, journal: JOURNAL },
      { error: { data: { code: 'busy', recorded: false } }, journal: JOURNAL },
    ]);
  });

  it('keep the mark of a refusal that was not recorded without the code beside it, or are left out', () => {
    const busy = { code: 'busy', message: 'too many commands' } as const;
    const answers = (count: number) =>
      Array.from({ length: count }, (_, id) => ({ id, reply: { error: busy, recorded: false } as const }));
    const bare = { code: -32002, message: expect.any(String), data: { recorded: false } };
    const few = written(answers(14));
    expect(few).toEqual(answers(14).map(({ id }) => ({ jsonrpc: '2.0', id, error: bare })));
    const many = written([...answers(15), { id: 15, reply: { result: 'x'.repeat(2000) } }]);
    expect(many.length).toBeGreaterThan(10);
    expect(many.length).toBeLessThan(16);
    expect(many.at(-1)).toMatchObject({ id: 15, result: { cut: true, bytes: 2000 } });
    for (const response of many.slice(0, -1)) expect(response).toMatchObject({ error: { data: { recorded: false } } });
  });

  it('have room for the identity of the journal, and the clock’s note, where the requests ask for them', () => {
    const asking = (id: string) => ({ ...request(id), deadline: 1, journal: true });
    for (let count = 1; count <= MAX_BATCH; count++) {
      const ids = (length: number) => Array.from({ length: count }, () => 'i'.repeat(length));
      const isTaken = (length: number) => codes(parse(ids(length).map(asking)))[0]?.[1] === 'ok';
      const longest = Array.from({ length: 65 }, (_, index) => 64 - index).find(isTaken);
      if (longest === undefined) continue;
      const marks = { clockSynchronized: false, journal: LONGEST_JOURNAL_IDENTITY } as const;
      const answers = ids(longest).map((id) => ({ id, reply: { result: 'x'.repeat(123_456), ...marks } }));
      expect(written(answers)).toHaveLength(count);
    }
  });

  it.each<[string, Writer]>([
    ['JSON', json],
    ['CBOR', encode],
  ])('fit in %s for every accepted batch and any answers', (_format, write) => {
    const toWrite: Writer = write === json ? (document) => Buffer.from(JSON.stringify(document, asBase64)) : write;
    const replies: Reply[] = [
      { result: 'x'.repeat(123_456) },
      { result: new Uint8Array(123_456) },
      { error: { code: 'handler-timeout', message: '\u{1}'.repeat(1000) } },
      { error: { code: 'busy', message: 'x'.repeat(1000) }, recorded: false },
      { result: undefined, forgotten: true },
    ];
    for (let count = 1; count <= MAX_BATCH; count++) {
      const ids = (length: number) => Array.from({ length: count }, () => 'i'.repeat(length));
      const isTaken = (length: number) =>
        codes(
          parseJsonRpc(
            ids(length).map((id) => request(id)),
            write,
          ),
        )[0]?.[1] === 'ok';
      const longest = Array.from({ length: 64 }, (_, index) => 64 - index).find(isTaken);
      // Sixteen of them have room for ids of a few bytes.
      expect(longest, `${count}`).toBeGreaterThan(3);
      for (const reply of replies) {
        const answers = ids(longest ?? 0).map((id) => ({ id, reply }));
        expect(formatJsonRpc(answers, true, toWrite, 1300).length, `${count} × ${longest}`).toBeLessThanOrEqual(1300);
      }
    }
  });
});

function asBase64(this: unknown, key: string, value: unknown): unknown {
  const member: unknown = typeof this === 'object' && this !== null ? Reflect.get(this, key) : value;
  return member instanceof Uint8Array ? { base64: Buffer.from(member).toString('base64') } : value;
}
