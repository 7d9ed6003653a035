import { describe, expect, it } from 'vitest';
import { coapConversation } from '../../../sender/request/coap.js';
import type { Conversation } from '../../../sender/request/conversation.js';
import { blockOption } from '../../../shared/coap/block.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { type CoapMessage, emptyMessage, formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { OPTION, uintOption } from '../../../shared/coap/options.js';
import { readParams, readRequest } from '../../../shared/coap/request.js';
import { ERRORS } from '../../../shared/errors.js';
import { toCbor } from '../../../shared/format/value.js';
import { SAFE_BINARY_BYTES } from '../../../shared/limits.js';

const TAG = Buffer.from('c0ffee123456', 'hex');

const command = (members = {}) =>
  coapConversation({
    name: 'relay.set',
    params: undefined,
    get: false,
    deadline: undefined,
    tag: TAG,
    messageId: 65_535,
    ...members,
  });

function requestOf({ bytes }: Conversation) {
  const message = parseMessage(bytes);
  const request = readRequest(message);
  if ('diagnostic' in request) throw new Error(request.diagnostic);
  return { message, request };
}

/** A response to a conversation's datagram. */
function respond(conversation: Conversation, members: Partial<CoapMessage> = {}, repeated = false) {
  const { messageId, token } = requestOf(conversation).message;
  const response: CoapMessage = {
    type: 'ACK',
    code: '2.04',
    messageId,
    token,
    options: [],
    payload: Buffer.alloc(0),
    ...members,
  };
  return conversation.interpret(formatMessage(response), repeated);
}

function nextOf(sign: ReturnType<Conversation['interpret']>): Conversation {
  if (sign?.type !== 'next') throw new Error(`there is no next datagram: ${JSON.stringify(sign)}`);
  return sign.next;
}

const content = (format: number) => [uintOption(OPTION.contentFormat, format)];
const block2 = (number: number, more: boolean, exponent = 0, tag = 'a') => [
  ...content(CONTENT_FORMAT.text),
  { number: OPTION.eTag, value: Buffer.from(tag) },
  blockOption(OPTION.block2, { number, more, exponent }),
  uintOption(OPTION.size2, 40),
];

describe('a CoAP request', () => {
  it('is confirmable, with a token and a Request-Tag', () => {
    const { message, request } = requestOf(command({ deadline: 17 }));
    expect(message).toMatchObject({ type: 'CON', messageId: 65_535, token: Buffer.concat([TAG, Buffer.of(0, 0)]) });
    expect(request).toMatchObject({ method: '0.02', path: ['relay', 'set'], query: ['deadline=17'], requestTag: TAG });
    expect(request.payload).toHaveLength(0);
  });

  it.each<[string, unknown, object]>([
    ['an object', { a: [1], b: Buffer.of(1) }, { positional: [], named: { a: [1], b: Uint8Array.of(1) } }],
    ['a list', ['x', 1], { positional: ['x', 1], named: {} }],
    ['words', '1 on=true', { positional: ['1'], named: { on: 'true' } }],
    ['bytes', Buffer.of(0, 255), { positional: [Buffer.of(0, 255)], named: {} }],
  ])('carries %s', (_, params, read) => {
    const { request } = requestOf(command({ params }));
    expect(readParams(request.query, request.payload, request.contentFormat)).toMatchObject({ params: read });
  });

  it('carries words in the query of a GET', () => {
    const { request } = requestOf(command({ get: true, params: { a: 'x y', b: 1 } }));
    expect(request).toMatchObject({ method: '0.01', query: ['a=x y', 'b=1'] });
    expect(requestOf(command({ get: true, params: 'x b=1' })).request.query).toEqual(['x', 'b=1']);
  });

  it.each<[string, string, object]>([
    ['a GET with a list in an object', 'bad-input', { get: true, params: { a: [1] } }],
    ['a GET with bytes', 'bad-input', { get: true, params: Buffer.of(1) }],
    ['a GET with a word that reads as another', 'bad-input', { get: true, params: ['a=b'] }],
    ['a GET with a parameter `deadline`', 'bad-input', { get: true, params: { deadline: 1 } }],
    ['a GET with a long parameter', 'too-large', { get: true, params: ['x'.repeat(256)] }],
    ['a GET with many parameters', 'too-large', { get: true, params: Array(6).fill('x'.repeat(200)) }],
    ['a function', 'bad-input', { params: [() => 1] }],
    ['a quote that is not closed', 'bad-input', { params: "'" }],
    ['parameters of more than 64 KiB', 'too-large', { params: Buffer.alloc(65_537) }],
  ])('refuses %s', (_, code, members) => {
    expect(() => command(members)).toThrow(expect.objectContaining({ code }));
  });
});

describe('a CoAP response', () => {
  it.each<[string, Partial<CoapMessage>, unknown]>([
    ['nothing', {}, undefined],
    ['text', { options: content(CONTENT_FORMAT.text), payload: Buffer.from('pong') }, 'pong'],
    ['empty text', { options: content(CONTENT_FORMAT.text) }, ''],
    ['JSON', { options: content(CONTENT_FORMAT.json), payload: Buffer.from('{"a":1}') }, { a: 1 }],
    ['CBOR', { options: content(CONTENT_FORMAT.cbor), payload: Buffer.from(toCbor({ a: 1 })) }, { a: 1 }],
    ['links', { options: content(CONTENT_FORMAT.links), payload: Buffer.from('</ping>') }, '</ping>'],
    ['bytes', { options: content(CONTENT_FORMAT.bytes), payload: Buffer.of(255) }, Buffer.of(255)],
    ['no bytes', { options: content(CONTENT_FORMAT.bytes) }, Buffer.alloc(0)],
    ['a kind unknown', { payload: Buffer.of(1) }, Buffer.of(1)],
  ])('with %s is a result', (_, members, result) => {
    expect(respond(command(), members)).toEqual({ type: 'end', ending: { outcome: 'done', result } });
  });

  it.each([
    ['text', CONTENT_FORMAT.text, 'abc …[cut, 70000 bytes]', 'abc …[cut, 70000 bytes]'],
    ['JSON', CONTENT_FORMAT.json, '{"cut":true,"bytes":7,"head":"abc"}', { cut: true, bytes: 7, head: 'abc' }],
    ['bytes', CONTENT_FORMAT.bytes, '\u{1}…[cut, 7 bytes]', undefined],
  ])('in %s that the device has cut is told as such', (_, format, payload, result) => {
    const cut = result === undefined ? {} : { cut: true };
    expect(respond(command(), { options: content(format), payload: Buffer.from(payload) })).toEqual({
      type: 'end',
      ending: { outcome: 'done', result: result ?? Buffer.from(payload), ...cut },
    });
  });

  it('reports that the device could not check the deadline', () => {
    const options = [{ number: OPTION.clockUnsynchronized, value: Buffer.alloc(0) }];
    expect(respond(command(), { options })).toMatchObject({ ending: { outcome: 'done', clockSynchronized: false } });
    expect(respond(command())).toEqual({ type: 'end', ending: { outcome: 'done' } });
  });

  it('that cannot be decoded still means that the command ran', () => {
    const payload = Buffer.from('{"a":');
    expect(respond(command(), { options: content(CONTENT_FORMAT.json), payload })).toMatchObject({
      ending: { outcome: 'done', cut: true, result: { cut: true, head: '{"a":' } },
    });
  });

  it('with an error code of the project has the outcome of that code', () => {
    for (const [code, entry] of Object.entries(ERRORS)) {
      if (!('wire' in entry)) continue;
      const { coap, outcome } = entry.wire;
      const sign = respond(command(), { code: coap, payload: Buffer.from(`${code}: why: not`) });
      if (outcome === 'accepted') expect(sign).toEqual({ type: 'accepted' });
      else expect(sign).toMatchObject({ ending: { outcome, error: { code, message: 'why: not', coapCode: coap } } });
    }
  });

  it.each([
    ['4.04', '', 'refused', 'unknown-command', 'CoAP 4.04'],
    ['4.05', 'use POST', 'refused', 'invalid-request', 'use POST'],
    ['4.29', '', 'refused', 'busy', 'CoAP 4.29'],
    ['5.03', 'gremlins: at work', 'refused', 'busy', 'gremlins: at work'],
    ['5.03', 'handler-unavailable: gone', 'refused', 'handler-unavailable', 'gone'],
    ['5.00', 'oh', 'failed', 'internal-error', 'oh'],
  ])('%s %j of another server has the nearest outcome', (coapCode, payload, outcome, code, message) => {
    expect(respond(command(), { code: coapCode, payload: Buffer.from(payload) })).toMatchObject({
      ending: { outcome, error: { code, message, coapCode } },
    });
  });

  it.each<[string, Partial<CoapMessage>, boolean]>([
    ['separate, non-confirmable', { type: 'NON', messageId: 7 }, true],
    ['separate, confirmable', { type: 'CON', messageId: 7 }, true],
    ['to another message ID', { messageId: 7 }, false],
    ['to another token', { token: Buffer.from('other') }, false],
    ['that resets a response', { type: 'RST' }, false],
    ['that is a request', { type: 'CON', code: '0.01' }, false],
  ])('%s', (_, members, ours) => {
    expect(respond(command(), members) !== undefined).toBe(ours);
  });

  it('is acknowledged when it is confirmable', () => {
    const acknowledge = formatMessage(emptyMessage('ACK', 7));
    expect(respond(command(), { type: 'CON', messageId: 7 })).toMatchObject({ acknowledge });
    expect(respond(command(), { type: 'NON', messageId: 7 })).not.toHaveProperty('acknowledge');
  });
});

describe('an empty CoAP message', () => {
  const empty = (type: CoapMessage['type'], messageId: number) =>
    command().interpret(formatMessage(emptyMessage(type, messageId)), false);

  it('belongs to a request by its message ID', () => {
    expect(empty('ACK', 65_535)).toEqual({ type: 'accepted' });
    expect(empty('RST', 65_535)).toMatchObject({ ending: { outcome: 'refused' } });
    for (const other of [empty('ACK', 1), empty('RST', 1), empty('CON', 65_535)]) expect(other).toBeUndefined();
  });

  it('is ignored with another message ID, as are bytes that are not CoAP', () => {
    for (const bytes of ['', 'ok', '{"event":"x"}', 'hello there']) {
      expect(command().interpret(Buffer.from(bytes), false)).toBeUndefined();
    }
  });
});

describe('long parameters', () => {
  const body = Buffer.from(Array.from({ length: 1200 }, (_, index) => index & 0xff));

  it('are sent in blocks of 512 bytes, each in its own request, with one Request-Tag', () => {
    const seen: Buffer[] = [];
    let conversation = command({ params: body });
    for (const [number, more] of [
      [0, true],
      [1, true],
      [2, false],
    ] as const) {
      const { message, request } = requestOf(conversation);
      expect(conversation.bytes.length).toBeLessThanOrEqual(SAFE_BINARY_BYTES);
      expect(conversation.canRun).toBe(!more);
      expect(message).toMatchObject({
        messageId: (65_535 + number) & 0xffff,
        token: Buffer.concat([TAG, Buffer.of(0, number)]),
      });
      expect(request).toMatchObject({ block1: { number, more, exponent: 5 }, requestTag: TAG });
      expect(request.size1).toBe(number === 0 ? 1200 : undefined);
      seen.push(request.payload);
      if (!more) break;
      const sign = respond(conversation, { code: '2.31' });
      expect(sign).toMatchObject({ progress: { block: { way: 'down', number: number + 1, total: 3 } } });
      conversation = nextOf(sign);
    }
    expect(Buffer.concat(seen)).toEqual(body);
    expect(respond(conversation)).toMatchObject({ ending: { outcome: 'done' } });
  });

  it('of 512 bytes are sent in one block', () => {
    expect(requestOf(command({ params: body.subarray(0, 512) })).request.block1).toBeUndefined();
  });

  it('that were all sent earlier begin with the last block, by which the device knows the command', () => {
    const params = body.subarray(0, 1000);
    const [partly, wholly] = [1, 2].map((sentBlocks) => command({ params, sentBlocks }));
    expect(partly?.bytes).toEqual(command({ params }).bytes);
    const second = nextOf(respond(command({ params }), { code: '2.31' }));
    if (wholly === undefined) throw new Error('there is no command');
    expect(wholly.bytes).toEqual(second.bytes);
    expect(respond(wholly)).toMatchObject({ ending: { outcome: 'done' } });
    // It may have been forgotten that it ran.
    expect(respond(wholly, { code: '4.08' })).toMatchObject({ ending: { outcome: 'no-answer' } });
    const echo = { number: OPTION.echo, value: Buffer.from('fresh') };
    const anew = requestOf(nextOf(respond(wholly, { code: '4.01', options: [echo] })));
    expect(anew.request).toMatchObject({ block1: { number: 0, more: true } });
  });

  it('may be refused after some blocks', () => {
    const second = nextOf(respond(command({ params: body }), { code: '2.31' }));
    expect(respond(second, { code: '4.13' })).toMatchObject({ ending: { outcome: 'refused' } });
    expect(respond(second, { code: '4.08' }, true)).toMatchObject({ ending: { outcome: 'refused' } });
    const last = nextOf(respond(second, { code: '2.31' }));
    expect(respond(last, { code: '4.08' })).toMatchObject({ ending: { outcome: 'refused' } });
    expect(respond(last, { code: '4.08' }, true)).toMatchObject({ ending: { outcome: 'no-answer' } });
    expect(respond(last, { code: '2.31' })).toBeUndefined();
  });
});

describe('a long result', () => {
  const first = () =>
    respond(command({ params: { a: 1 }, deadline: 17 }), {
      options: block2(0, true),
      payload: Buffer.from('0123456789abcdef'),
    });

  it('is fetched block by block', () => {
    const sign = first();
    expect(sign).toMatchObject({ progress: { block: { way: 'up', number: 1, total: 3 } } });
    const second = nextOf(sign);
    const { message, request } = requestOf(second);
    expect(message).toMatchObject({ messageId: 0, token: Buffer.concat([TAG, Buffer.of(0, 1)]), type: 'CON' });
    expect(request).toMatchObject({ method: '0.02', path: ['relay', 'set'], query: ['deadline=17'], requestTag: TAG });
    expect(request).toMatchObject({ block2: { number: 1, more: false, exponent: 0 } });
    expect(request.payload).toHaveLength(0);
    const third = nextOf(respond(second, { options: block2(1, true), payload: Buffer.from('ABCDEFGHIJKLMNOP') }));
    expect(respond(third, { options: block2(2, false), payload: Buffer.from('end') })).toEqual({
      type: 'end',
      ending: { outcome: 'done', result: '0123456789abcdefABCDEFGHIJKLMNOPend' },
    });
  });

  it('has a partial ending while blocks are missing', () => {
    expect(nextOf(first()).partial?.()).toEqual({
      outcome: 'done',
      cut: true,
      result: { cut: true, bytes: 40, head: '0123456789abcdef' },
    });
    const half = respond(command(), {
      options: block2(0, true),
      payload: Buffer.from('0123456789abcdeä').subarray(0, 16),
    });
    expect(nextOf(half).partial?.()).toMatchObject({ result: { head: '0123456789abcde' } });
  });

  it.each<[string, Partial<CoapMessage>]>([
    ['another block', { options: block2(2, true), payload: Buffer.alloc(16) }],
    ['a block of another body', { options: block2(1, true, 0, 'b'), payload: Buffer.alloc(16) }],
    ['a short block', { options: block2(1, true), payload: Buffer.alloc(3) }],
    ['no block', { options: content(CONTENT_FORMAT.text) }],
    ['an error', { code: '4.08' }],
  ])('ends partially with %s', (_, members) => {
    expect(respond(nextOf(first()), members)).toMatchObject({ type: 'end', ending: { outcome: 'done', cut: true } });
  });

  it('waits while the device is busy, and ignores repeats of earlier blocks', () => {
    const second = nextOf(first());
    expect(respond(second, { code: '5.03' })).toBeUndefined();
    expect(respond(second, { token: Buffer.concat([TAG, Buffer.of(0, 0)]), options: block2(0, true) })).toBeUndefined();
  });

  it('of an error ends with the error', () => {
    const sign = respond(command(), {
      code: '5.00',
      options: block2(0, true),
      payload: Buffer.from('handler-failed: '),
    });
    expect(nextOf(sign).partial?.()).toMatchObject({ outcome: 'failed', error: { code: 'handler-failed' } });
  });

  it('does not start with a later block', () => {
    expect(respond(command(), { options: block2(1, true), payload: Buffer.alloc(16) })).toBeUndefined();
    expect(respond(command(), { options: [{ number: OPTION.block2, value: Buffer.of(7) }] })).toBeUndefined();
  });
});
