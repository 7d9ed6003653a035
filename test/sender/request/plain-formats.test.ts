import { describe, expect, it } from 'vitest';
import { plainConversation } from '../../../sender/request/plain-formats.js';
import { ERRORS } from '../../../shared/errors.js';
import { fromCbor, toCbor, toJson } from '../../../shared/format/value.js';

type Format = 'text' | 'json' | 'cbor';

const command = (format: Format, members = {}) =>
  plainConversation({ format, id: 'c0ffee', name: 'relay.set', params: undefined, deadline: undefined, ...members });
const hear = (format: Format, reply: string | Uint8Array) => command(format).interpret(Buffer.from(reply), false);
const write = { json: (value: unknown) => toJson(value), cbor: (value: unknown) => toCbor(value) };
const documents = ['json', 'cbor'] as const;

describe('a text command', () => {
  it.each<[unknown, string]>([
    [undefined, '#c0ffee relay.set'],
    [{ channel: 1, on: true, label: undefined }, '#c0ffee relay.set channel=1 on=true'],
    [['a b', 'k=v', 3], "#c0ffee relay.set 'a b' 'k=v' 3"],
    ['1 on=true', '#c0ffee relay.set 1 on=true'],
  ])('is written with the parameters %j', (params, written) => {
    expect(command('text', { params }).bytes.toString()).toBe(written);
  });

  it.each<[string, string, object]>([
    ['a deadline', 'bad-input', { deadline: 1 }],
    ['parameters in parameters', 'bad-input', { params: { a: [1] } }],
    ['a name that is no word', 'bad-input', { params: { 'a b': 1 } }],
    ['bytes', 'bad-input', { params: Buffer.from('x') }],
    ['control characters', 'bad-input', { params: ['\u0000'] }],
    ['a quote that is not closed', 'bad-input', { params: '"a' }],
    ['976 bytes', 'too-large', { params: 'x'.repeat(958) }],
  ])('cannot carry %s', (_, code, members) => {
    expect(() => command('text', members)).toThrow(expect.objectContaining({ code }));
  });

  it.each<[string, string | Uint8Array, unknown]>([
    ['a result', '#c0ffee ok pong', { outcome: 'done', result: 'pong' }],
    ['no result', '#c0ffee ok', { outcome: 'done', result: undefined }],
    ['a repeat', '#c0ffee repeat ok a b\nc', { outcome: 'done', result: 'a b\nc' }],
    ['bytes', Buffer.from('23633066666565206f6b20fffe00', 'hex'), { outcome: 'done', result: Buffer.of(255, 254, 0) }],
    ['a cut', '#c0ffee ok abc …[cut, 5000 bytes]', { outcome: 'done', result: 'abc …[cut, 5000 bytes]', cut: true }],
    ['an error', '#c0ffee error busy try later', { outcome: 'refused', error: { code: 'busy', message: 'try later' } }],
    [
      'an error again',
      '#c0ffee repeat error interrupted x',
      { outcome: 'interrupted', error: { code: 'interrupted' } },
    ],
    ['a new error', '#c0ffee error gremlins x', { outcome: 'failed', error: { code: 'unknown-error', message: 'x' } }],
    ['an error that no device has', '#c0ffee error api-error x', { error: { code: 'unknown-error' } }],
  ])('reads the reply %s', (_, reply, ending) => {
    expect(hear('text', reply)).toMatchObject({ type: 'end', ending });
  });

  it.each(['#c0ffef ok', 'ok', '#c0ffee okay', '#c0ffee', '{"id":"c0ffee","result":1}', ''])(
    'leaves %j alone',
    (reply) => {
      expect(hear('text', reply)).toBeUndefined();
    },
  );

  it('reads that the command is still running', () => {
    expect(hear('text', '#c0ffee repeat error running x')).toEqual({ type: 'accepted' });
  });
});

describe.each(documents)('a command in %s', (format) => {
  const read = (bytes: Buffer) => (format === 'json' ? JSON.parse(bytes.toString()) : fromCbor(bytes));
  const reply = (members: object) => hear(format, write[format]({ jsonrpc: '2.0', id: 'c0ffee', ...members }));

  it('is a JSON-RPC request with a deadline', () => {
    const head = { jsonrpc: '2.0', method: 'relay.set', id: 'c0ffee' };
    expect(read(command(format).bytes)).toEqual(head);
    expect(read(command(format, { params: { a: [1] }, deadline: 5 }).bytes)).toEqual({
      ...head,
      params: { a: [1] },
      deadline: 5,
    });
    expect(read(command(format, { params: 'a=1' }).bytes)).toEqual({ ...head, params: { a: '1' } });
    expect(read(command(format, { params: 'x y' }).bytes)).toEqual({ ...head, params: ['x', 'y'] });
  });

  it('refuses values that the format cannot carry', () => {
    expect(() => command(format, { params: [() => 1] })).toThrow(expect.objectContaining({ code: 'bad-input' }));
    expect(() => command(format, { params: '1 a=2' })).toThrow(expect.objectContaining({ code: 'bad-input' }));
    expect(() => command(format, { params: ['x'.repeat(975)] })).toThrow(
      expect.objectContaining({ code: 'too-large' }),
    );
  });

  it('reads a result', () => {
    expect(reply({ result: { a: 1 }, repeat: true })).toEqual({
      type: 'end',
      ending: { outcome: 'done', result: { a: 1 } },
    });
    expect(reply({ result: null, clockSynchronized: false })).toEqual({
      type: 'end',
      ending: { outcome: 'done', result: undefined, clockSynchronized: false },
    });
    const cut = { cut: true, bytes: 5000, head: 'abc' };
    expect(reply({ result: cut })).toEqual({ type: 'end', ending: { outcome: 'done', result: cut, cut: true } });
  });

  it('reads every error of a device, by its code or by its JSON-RPC number', () => {
    for (const [code, entry] of Object.entries(ERRORS)) {
      if (!('wire' in entry)) continue;
      const { jsonRpc, outcome } = entry.wire;
      const sign =
        outcome === 'accepted'
          ? { type: 'accepted' }
          : { type: 'end', ending: { outcome, error: { code, message: 'm' } } };
      expect(reply({ error: { code: jsonRpc, message: 'm', data: { code } } })).toMatchObject(sign);
      expect(reply({ error: { code: jsonRpc, message: 'm' } })).toMatchObject(sign);
    }
    expect(reply({ error: { code: 1, message: 7 } })).toMatchObject({
      ending: { outcome: 'failed', error: { code: 'unknown-error', message: '' } },
    });
  });

  it('ignores replies to other requests', () => {
    expect(hear(format, write[format]({ id: 'c0ffef', result: 1 }))).toBeUndefined();
    expect(hear(format, write[format]({ id: 'c0ffee', method: 'x' }))).toBeUndefined();
    expect(hear(format, write[format]({ event: 'x', data: 1 }))).toBeUndefined();
    expect(hear(format, write[format]([1]))).toBeUndefined();
    expect(hear(format, '#c0ffee ok')).toBeUndefined();
    expect(hear(format, '')).toBeUndefined();
  });
});

it('bytes as parameters are sent in CBOR, and refused in JSON', () => {
  expect(fromCbor(command('cbor', { params: Buffer.of(0, 255) }).bytes)).toMatchObject({
    params: [Uint8Array.of(0, 255)],
  });
  expect(() => command('json', { params: Buffer.of(0) })).toThrow(expect.objectContaining({ code: 'bad-input' }));
});
