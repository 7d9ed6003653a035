import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defineHandler } from '../../agent/handlers/handler.js';
import { startPipeline } from '../support/pipeline.js';

/** The commands of the specification's examples. */
const handlers = [
  defineHandler({
    name: 'subtract',
    description: '',
    params: z.object({ minuend: z.number(), subtrahend: z.number() }),
    run: ({ minuend, subtrahend }) => minuend - subtrahend,
  }),
  defineHandler({
    name: 'sum',
    description: '',
    run: (_params, { command }) => command.params.positional.reduce((sum: number, one) => sum + Number(one), 0),
  }),
  defineHandler({ name: 'get_data', description: '', run: () => ['hello', 5] }),
  defineHandler({ name: 'update', description: '', run: () => undefined }),
  defineHandler({ name: 'notify_sum', description: '', run: () => undefined }),
  defineHandler({ name: 'notify_hello', description: '', run: () => undefined }),
];

const error = (code: number, id: unknown) => ({
  jsonrpc: '2.0',
  error: { code, message: expect.any(String), data: { code: expect.any(String) } },
  id,
});
const result = (value: unknown, id: unknown) => ({ jsonrpc: '2.0', result: value, id });
const request = (method: unknown, rest: Record<string, unknown> = {}) => ({ jsonrpc: '2.0', method, ...rest });

const NO_REPLY = undefined;

/** Section 7 of JSON-RPC 2.0, as far as its requests parse. */
const EXAMPLES: [string, unknown, unknown][] = [
  ['positional parameters', request('subtract', { params: [42, 23], id: 1 }), result(19, 1)],
  ['positional parameters the other way round', request('subtract', { params: [23, 42], id: 2 }), result(-19, 2)],
  ['named parameters', request('subtract', { params: { subtrahend: 23, minuend: 42 }, id: 3 }), result(19, 3)],
  [
    'named parameters in another order',
    request('subtract', { params: { minuend: 42, subtrahend: 23 }, id: 4 }),
    result(19, 4),
  ],
  ['a notification', request('update', { params: [1, 2, 3, 4, 5] }), NO_REPLY],
  ['a notification of a method that does not exist', request('foobar'), NO_REPLY],
  ['a method that does not exist', request('foobar', { id: '1' }), error(-32601, '1')],
  ['an invalid request', request(1, { params: 'bar' }), error(-32600, null)],
  ['an empty array', [], error(-32600, null)],
  ['an invalid batch that is not empty', [1], [error(-32600, null)]],
  ['an invalid batch', [1, 2, 3], [error(-32600, null), error(-32600, null), error(-32600, null)]],
  [
    'a batch',
    [
      request('sum', { params: [1, 2, 4], id: '1' }),
      request('notify_hello', { params: [7] }),
      request('subtract', { params: [42, 23], id: '2' }),
      { foo: 'boo' },
      request('foo.get', { params: { name: 'myself' }, id: '5' }),
      request('get_data', { id: '9' }),
    ],
    [result(7, '1'), result(19, '2'), error(-32600, null), error(-32601, '5'), result(['hello', 5], '9')],
  ],
  [
    'a batch of notifications',
    [request('notify_sum', { params: [1, 2, 4] }), request('notify_hello', { params: [7] })],
    NO_REPLY,
  ],
  // Beyond the specification's own:
  ['no member jsonrpc', { method: 'subtract', params: [42, 23], id: 1 }, result(19, 1)],
  ['the id null', request('subtract', { params: [42, 23], id: null }), result(19, null)],
  ['an id that is a fraction', request('subtract', { params: [42, 23], id: 1.5 }), result(19, 1.5)],
  ['an id that is empty', request('subtract', { params: [42, 23], id: '' }), result(19, '')],
  ['too few parameters', request('subtract', { params: [42], id: 1 }), error(-32602, 1)],
  ['too many parameters', request('subtract', { params: [42, 23, 1], id: 1 }), error(-32602, 1)],
  ['a parameter of another type', request('subtract', { params: ['42', 23], id: 1 }), error(-32602, 1)],
  ['a notification with wrong parameters', request('subtract', { params: [42] }), NO_REPLY],
  ['another version', { ...request('subtract', { id: 1 }), jsonrpc: '1.0' }, error(-32600, 1)],
  ['a response', result(19, 1), NO_REPLY],
  ['an error response', error(-32600, null), NO_REPLY],
  ['a batch of responses', [result(19, 1), result(19, 2)], NO_REPLY],
];

const { answers } = startPipeline({ handlers });

/** Everything that is answered to a datagram. */
function ask(bytes: Uint8Array | string, read: (bytes: Buffer) => unknown): unknown {
  const [first, ...more] = answers(bytes);
  expect(more).toEqual([]);
  return first === undefined ? NO_REPLY : read(first);
}

const askJson = (text: string) => ask(text, (bytes) => JSON.parse(bytes.toString()));
const askCbor = (bytes: Uint8Array) => ask(bytes, (reply) => decode(reply));

/** What a matcher stands for cannot be sent. */
const sendable = (document: unknown): unknown =>
  JSON.parse(JSON.stringify(document, (_key, value) => (typeof value?.asymmetricMatch === 'function' ? 'x' : value)));

describe('the examples of JSON-RPC 2.0, section 7', () => {
  it.each(EXAMPLES)('in JSON: %s', (_what, document, reply) => {
    expect(askJson(JSON.stringify(sendable(document)))).toEqual(reply);
  });

  it.each(EXAMPLES)('in CBOR: %s', (_what, document, reply) => {
    expect(askCbor(encode(sendable(document)))).toEqual(reply);
  });

  it('with invalid JSON are a parse error', () => {
    expect(askJson('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]')).toEqual(error(-32700, null));
    expect(
      askJson('[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]'),
    ).toEqual(error(-32700, null));
  });

  it('with invalid CBOR are a parse error', () => {
    const whole = encode(request('sum', { params: [1, 2, 4], id: '1' }));
    expect(askCbor(whole.subarray(0, -1))).toEqual(error(-32700, null));
    expect(askCbor(Buffer.concat([whole, whole]))).toEqual(error(-32700, null));
  });
});
