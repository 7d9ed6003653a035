import { encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import type { CoapMessage, Option } from '../../../shared/coap/message.js';
import { OPTION, stringOption, uintOption } from '../../../shared/coap/options.js';
import { readParams, readRequest } from '../../../shared/coap/request.js';

const message = (options: readonly Option[], payload = ''): CoapMessage => ({
  type: 'CON',
  code: '0.02',
  messageId: 1,
  token: Buffer.alloc(0),
  options,
  payload: Buffer.from(payload),
});

describe('readRequest', () => {
  it('reads method, path, query, formats, blocks and tag', () => {
    const options = [
      stringOption(OPTION.uriPath, 'relay'),
      stringOption(OPTION.uriPath, 'set'),
      uintOption(OPTION.contentFormat, 50),
      stringOption(OPTION.uriQuery, 'a=1'),
      stringOption(OPTION.uriQuery, 'b'),
      uintOption(OPTION.accept, 0),
      uintOption(OPTION.block2, 0x16),
      uintOption(OPTION.block1, 0x0a),
      uintOption(OPTION.size1, 300),
      { number: OPTION.requestTag, value: Buffer.from([7]) },
    ];
    expect(readRequest(message(options, 'x'))).toEqual({
      method: '0.02',
      path: ['relay', 'set'],
      query: ['a=1', 'b'],
      contentFormat: 50,
      accept: 0,
      block1: { number: 0, more: true, exponent: 2 },
      block2: { number: 1, more: false, exponent: 6 },
      size1: 300,
      requestTag: Buffer.from([7]),
      payload: Buffer.from('x'),
    });
  });

  it('accepts any host and port', () => {
    const options = [
      stringOption(OPTION.uriHost, 'gateway.example'),
      uintOption(OPTION.uriPort, 6969),
      stringOption(OPTION.uriPath, 'ping'),
    ];
    expect(readRequest(message(options))).toMatchObject({ path: ['ping'] });
  });

  it('reads a request without options, and tells an empty tag from no tag', () => {
    expect(readRequest(message([]))).toMatchObject({
      path: [],
      query: [],
      accept: undefined,
      contentFormat: undefined,
      block1: undefined,
      block2: undefined,
      requestTag: undefined,
    });
    expect(readRequest(message([{ number: OPTION.requestTag, value: Buffer.alloc(0) }]))).toMatchObject({
      requestTag: Buffer.alloc(0),
    });
  });

  it('reads that the request asks for the identity of the journal', () => {
    expect(readRequest(message([]))).toMatchObject({ asksJournal: undefined });
    expect(readRequest(message([stringOption(OPTION.journal, '')]))).toMatchObject({ asksJournal: true });
  });

  it('rejects a critical option that is not understood as a bad option, and names it', () => {
    expect(readRequest(message([uintOption(65_001, 1)]))).toEqual({
      code: '4.02',
      diagnostic: expect.stringContaining('65001'),
    });
  });

  it('rejects a reserved block size as a bad request, in either direction', () => {
    for (const number of [OPTION.block1, OPTION.block2]) {
      expect(readRequest(message([uintOption(number, 7)]))).toMatchObject({ code: '4.00' });
    }
  });

  it.each([
    ['Proxy-Uri', 35],
    ['Proxy-Scheme', 39],
  ])('rejects a request to a proxy: %s', (_, number) => {
    expect(readRequest(message([stringOption(number, 'coap'), uintOption(65_001, 1)]))).toMatchObject({ code: '5.05' });
  });
});

describe('the parameters of a CoAP request', () => {
  const read = (query: readonly string[], payload: string | Uint8Array = '', contentFormat?: number) =>
    readParams(query, Buffer.from(payload), contentFormat);

  it('come from the query, by name and by position, as words', () => {
    expect(read(['channel=1', 'on', 'label=a b=c', '=x', 'größe=2'])).toEqual({
      params: { positional: ['on', '=x', 'größe=2'], named: { channel: '1', label: 'a b=c' } },
      words: true,
    });
  });

  it('come from a payload of words, as a text command has them', () => {
    expect(read([], `1 "two words" on=true`, CONTENT_FORMAT.text)).toEqual({
      params: { positional: ['1', 'two words'], named: { on: 'true' } },
      words: true,
    });
  });

  it('come from a JSON or CBOR object or array, with their types', () => {
    const object = { a: 1, b: [true, null] };
    const named = { params: { positional: [], named: object }, words: false };
    const positional = { params: { positional: [1, 'x'], named: {} }, words: false };
    expect(read([], JSON.stringify(object), CONTENT_FORMAT.json)).toEqual(named);
    expect(read([], encode(object), CONTENT_FORMAT.cbor)).toEqual(named);
    expect(read([], '[1,"x"]', CONTENT_FORMAT.json)).toEqual(positional);
    expect(read([], encode([1, 'x']), CONTENT_FORMAT.cbor)).toEqual(positional);
  });

  it('are the bytes themselves for octets', () => {
    const bytes = Buffer.from([0, 255, 1]);
    expect(read([], bytes, CONTENT_FORMAT.bytes)).toEqual({
      params: { positional: [bytes], named: {} },
      words: false,
    });
  });

  it('are words where no format is given and the payload is UTF-8, else bytes', () => {
    expect(read([], 'a b=1')).toMatchObject({ params: { positional: ['a'], named: { b: '1' } } });
    expect(read([], Buffer.from([0xff]))).toMatchObject({ params: { positional: [Buffer.from([0xff])] } });
  });

  it('come from both, where the payload’s follow and override the query’s', () => {
    expect(read(['x', 'a=1', 'b=2'], '{"a":5}', CONTENT_FORMAT.json)).toEqual({
      params: { positional: ['x'], named: { a: 5, b: '2' } },
      words: true,
    });
    expect(read(['x'], 'y', CONTENT_FORMAT.text)).toMatchObject({ params: { positional: ['x', 'y'] } });
  });

  it('are none for an empty payload, whatever its format', () => {
    const none = { params: { positional: [], named: {} }, words: true };
    for (const contentFormat of [undefined, 0, 42, 50, 60, 41]) expect(read([], '', contentFormat)).toEqual(none);
  });

  it('called __proto__ do not change a prototype', () => {
    const both = read(['b=1'], '{"__proto__":{"a":1}}', CONTENT_FORMAT.json);
    const named = 'params' in both ? both.params.named : {};
    expect(Object.keys(named)).toEqual(['b', '__proto__']);
    expect(named['a']).toBeUndefined();
  });

  it.each([
    ['JSON that does not parse', '{', CONTENT_FORMAT.json, '4.00'],
    ['JSON that is a number', '5', CONTENT_FORMAT.json, '4.00'],
    ['JSON that is not UTF-8', Buffer.from('7b2261223a22ff227d', 'hex'), CONTENT_FORMAT.json, '4.00'],
    ['CBOR that ends too soon', Buffer.from([0xa1]), CONTENT_FORMAT.cbor, '4.00'],
    ['CBOR that is a string', encode('x'), CONTENT_FORMAT.cbor, '4.00'],
    ['text with an open quote', '"a', CONTENT_FORMAT.text, '4.00'],
    ['text with a name that is given twice', 'a=1 a=2', CONTENT_FORMAT.text, '4.00'],
    ['text that is not UTF-8', Buffer.from([0x61, 0xff]), CONTENT_FORMAT.text, '4.00'],
    ['a format that is not understood', '<a/>', 41, '4.15'],
    ['a list of links', '</a>', CONTENT_FORMAT.links, '4.15'],
  ])('are refused, with a reason: %s', (_, payload, contentFormat, code) => {
    expect(read([], payload, contentFormat)).toEqual({ code, diagnostic: expect.stringMatching(/./) });
  });

  it('are refused when the query gives a name twice', () => {
    expect(read(['a=1', 'a=2'])).toMatchObject({ code: '4.00' });
  });
});
