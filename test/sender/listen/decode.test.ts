import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { decodeDatagram } from '../../../sender/listen/decode.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { type CoapMessage, emptyMessage, formatMessage } from '../../../shared/coap/message.js';
import { OPTION, uintOption } from '../../../shared/coap/options.js';
import { toCbor, toJson } from '../../../shared/format/value.js';
import { SEED } from '../../support/seed.js';

const decode = (bytes: string | Uint8Array) => decodeDatagram(Buffer.from(bytes));

describe('a datagram in JSON or CBOR', () => {
  test.each([
    ['json', (value: unknown) => Buffer.from(JSON.stringify(value))],
    ['cbor', (value: unknown) => Buffer.from(toCbor(value))],
  ] as const)('in %s is an event, a reply, or a message', (format, write) => {
    const read = (value: unknown) => decodeDatagram(write(value));
    expect(read({ event: 'door.opened', data: { door: 3 } })).toEqual({
      ...{ format, kind: 'event' },
      ...{ event: 'door.opened', data: { door: 3 } },
    });
    expect(read({ event: 'started' })).toEqual({ format, kind: 'event', event: 'started' });
    expect(read({ jsonrpc: '2.0', id: 7, result: { t: 21.5 } })).toEqual({
      ...{ format, kind: 'reply', id: 7 },
      ...{ result: { t: 21.5 } },
    });
    expect(read({ jsonrpc: '2.0', id: 'a', result: null, repeat: true })).toEqual({
      ...{ format, kind: 'reply', id: 'a', result: null, repeat: true },
    });
    expect(read({ id: 'a', result: null, forgotten: true, repeat: true })).toEqual({
      ...{ format, kind: 'reply', id: 'a', result: null, repeat: true, forgotten: true },
    });
    expect(read({ id: 7, error: { code: -32_002, message: 'x', data: { code: 'busy', recorded: false } } })).toEqual({
      ...{ format, kind: 'reply', id: 7, error: { code: 'busy', message: 'x' }, recorded: false },
    });
    const error = { code: -32_000, message: 'no', data: { code: 'handler-failed' } };
    expect(read({ jsonrpc: '2.0', id: 7, error })).toEqual({
      ...{ format, kind: 'reply', id: 7, error: { code: 'handler-failed', message: 'no' } },
    });
    expect(read({ id: 7, error: { code: -1, message: 'odd' } })).toMatchObject({ error: { code: -1, message: 'odd' } });
    for (const value of [{ temperature: 21 }, [1, 2], { method: 'ping', id: 1 }, { id: 3 }]) {
      expect(read(value)).toEqual({ format, kind: 'message', value });
    }
  });

  it('may have bytes in CBOR, which are printed in Base64', () => {
    const said = decode(toCbor({ event: 'frame', data: { raw: Buffer.from([1, 255]) } }));
    expect(JSON.parse(toJson(said))).toMatchObject({ event: 'frame', data: { raw: { base64: 'Af8=' } } });
  });

  test.each([
    ['JSON cut short', Buffer.from('{"event":"a"')],
    ['JSON that is no UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['CBOR with a tag', Buffer.from([0x81, 0xc0, 0x61, 0x61])],
  ])('that is invalid (%s) is a message of bytes', (_, bytes) => {
    expect(decodeDatagram(bytes)).toEqual({ format: 'bytes', kind: 'message', value: bytes });
  });
});

test('a CoAP response that is protected is a reply of which only its token is known', () => {
  const options = [{ number: OPTION.oscore, value: Buffer.of(1, 5) }];
  const response: CoapMessage = {
    ...{ type: 'NON', code: '2.04', messageId: 1, token: Buffer.of(0xab, 1), options, payload: Buffer.alloc(20, 1) },
  };
  expect(decode(formatMessage(response))).toEqual({ format: 'coap', kind: 'reply', id: 'ab01', protected: true });
});

test.each<[string, string | Uint8Array, object]>([
  ['a result', '#7 ok 12G of 29G', { id: '7', result: '12G of 29G' }],
  ['no result', '#7 ok', { id: '7', result: undefined }],
  [
    'an error',
    '#a-1 error handler-failed it is\nstuck',
    { id: 'a-1', error: { code: 'handler-failed', message: 'it is\nstuck' } },
  ],
  ['an error without words', '#7 error busy', { id: '7', error: { code: 'busy', message: '' } }],
  ['a repeat', '#7 repeat ok pong', { id: '7', result: 'pong', repeat: true }],
  ['a forgotten result', '#7 repeat forgotten ok', { id: '7', result: undefined, repeat: true, forgotten: true }],
  [
    'an error not recorded',
    '#7 unrecorded error busy x',
    { id: '7', error: { code: 'busy', message: 'x' }, recorded: false },
  ],
  ['bytes', Buffer.concat([Buffer.from('#7 ok '), Buffer.from([0, 255])]), { id: '7', result: Buffer.from([0, 255]) }],
])('a text reply with %s is decoded', (_, bytes, expected) => {
  expect(decode(bytes)).toEqual({ format: 'text', kind: 'reply', ...expected });
});

test.each(['NUM=1234', '#7 okay', 'ok', '# ok', 'Türe offen', 'HELLO WORLD AND ALL', 'PING'])(
  '“%s” is a message of text',
  (text) => {
    expect(decode(text)).toEqual({ format: 'text', kind: 'message', value: text });
  },
);

test.each([
  ['nothing', Buffer.alloc(0)],
  ['bytes', Buffer.from([0, 1, 2, 255])],
  ['a CoAP request', formatMessage({ ...emptyMessage('CON', 1), code: '0.01' })],
])('%s is a message of bytes', (_, bytes) => {
  expect(decodeDatagram(bytes)).toEqual({ format: 'bytes', kind: 'message', value: bytes });
});

describe('a CoAP message from a device', () => {
  const respond = (code: string, payload: string | Uint8Array = '', options: CoapMessage['options'] = []) =>
    decodeDatagram(
      formatMessage({
        type: 'ACK',
        code,
        messageId: 9,
        token: Buffer.from('0102', 'hex'),
        options,
        payload: Buffer.from(payload),
      }),
    );
  const contentFormat = (format: number) => [uintOption(OPTION.contentFormat, format)];
  const reply = { format: 'coap', kind: 'reply', id: '0102' };

  it('is a reply with its token as id, and its result', () => {
    expect(respond('2.04', 'pong', contentFormat(CONTENT_FORMAT.text))).toEqual({ ...reply, result: 'pong' });
    expect(respond('2.05', '{"a":1}', contentFormat(CONTENT_FORMAT.json))).toEqual({ ...reply, result: { a: 1 } });
    expect(respond('2.05', '{"a":', contentFormat(CONTENT_FORMAT.json))).toEqual({
      ...{ ...reply, result: Buffer.from('{"a":') },
    });
    expect(respond('2.04')).toEqual({ ...reply, result: undefined });
  });

  it('is a reply with an error', () => {
    expect(respond('5.00', 'handler-failed: stuck')).toEqual({
      ...{ ...reply, error: { code: 'handler-failed', message: 'stuck' } },
    });
    expect(respond('4.04')).toEqual({ ...reply, error: { code: 'unknown-command', message: 'CoAP 4.04' } });
  });

  it('says that a refusal was not recorded, or that a result is forgotten', () => {
    const mark = (number: number) => [{ number, value: Buffer.alloc(0) }];
    expect(respond('5.03', 'busy: x', mark(OPTION.unrecorded))).toEqual({
      ...{ ...reply, error: { code: 'busy', message: 'x' }, recorded: false },
    });
    expect(respond('2.04', '', mark(OPTION.forgotten))).toEqual({ ...reply, result: undefined, forgotten: true });
  });

  it('is a block of a reply', () => {
    const block = (number: number, more: boolean) => [uintOption(OPTION.block2, (number << 4) | (more ? 8 : 0) | 6)];
    expect(respond('2.05', 'abc', block(0, true))).toMatchObject({
      result: Buffer.from('abc'),
      block: { number: 0, more: true },
    });
    expect(respond('2.05', 'abc', block(2, false))).toMatchObject({ block: { number: 2, more: false } });
    expect(respond('2.05', 'abc', block(0, false))).not.toHaveProperty('block');
  });

  it('is accepted when it is an empty acknowledgement', () => {
    expect(decodeDatagram(formatMessage(emptyMessage('ACK', 9)))).toEqual({
      ...{ format: 'coap', kind: 'accepted', messageId: 9 },
    });
  });
});

test('any bytes can be decoded and written as JSON', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const said = decode(bytes);
      expect(JSON.parse(toJson(said))).toMatchObject({ format: said.format, kind: said.kind });
    }),
    { seed: SEED, numRuns: 3000 },
  );
});
