import { decode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { diagnostic, formatResponse } from '../../../shared/coap/response.js';
import { ERRORS } from '../../../shared/errors.js';

const GET = '0.01';
const POST = '0.02';
const OBJECT = { a: [1, 'ü'] };
const BYTES = Buffer.from([0, 255]);

describe('a response to a result', () => {
  it('is 2.05 to GET and 2.04 to POST', () => {
    expect(formatResponse({ result: 'x' }, GET, undefined, undefined).code).toBe('2.05');
    expect(formatResponse({ result: 'x' }, POST, undefined, undefined).code).toBe('2.04');
  });

  it('has no payload and no format for no result', () => {
    for (const result of [undefined, null]) {
      expect(formatResponse({ result }, POST, CONTENT_FORMAT.json, undefined)).toEqual({
        code: '2.04',
        payload: Buffer.alloc(0),
      });
    }
  });

  it.each([
    ['a string as text', 'ü', CONTENT_FORMAT.text, 'ü'],
    ['bytes as they are', BYTES, CONTENT_FORMAT.bytes, BYTES],
    ['a number as JSON', 5, CONTENT_FORMAT.json, '5'],
    ['an object as JSON', OBJECT, CONTENT_FORMAT.json, '{"a":[1,"ü"]}'],
  ])('has a format by the result’s type where the client accepts any: %s', (_, result, contentFormat, payload) => {
    expect(formatResponse({ result }, POST, undefined, undefined)).toEqual({
      code: '2.04',
      contentFormat,
      payload: Buffer.from(payload),
    });
  });

  it.each([
    ['text', CONTENT_FORMAT.text, 'x', 'x'],
    ['text, of an object', CONTENT_FORMAT.text, { a: 1, b: 'c d' }, "a=1 b='c d'"],
    ['JSON, of a string', CONTENT_FORMAT.json, 'x', '"x"'],
    ['JSON, of bytes', CONTENT_FORMAT.json, BYTES, '{"base64":"AP8="}'],
    ['octets, of a string', CONTENT_FORMAT.bytes, 'ü', 'ü'],
    ['octets, of bytes', CONTENT_FORMAT.bytes, BYTES, BYTES],
  ])('is in the format that the client accepts, whatever it sent itself: %s', (_, accept, result, payload) => {
    expect(formatResponse({ result }, GET, accept, CONTENT_FORMAT.cbor)).toEqual({
      code: '2.05',
      contentFormat: accept,
      payload: Buffer.from(payload),
    });
  });

  it('is CBOR when that is accepted, or was sent', () => {
    for (const [accept, asked] of [
      [CONTENT_FORMAT.cbor, undefined],
      [undefined, CONTENT_FORMAT.cbor],
    ]) {
      const response = formatResponse({ result: OBJECT }, GET, accept, asked);
      expect(response.contentFormat).toBe(CONTENT_FORMAT.cbor);
      expect(decode(response.payload)).toEqual(OBJECT);
    }
  });

  it.each([
    ['text', 'ü', undefined, CONTENT_FORMAT.text, 'ü …[cut, 70000 bytes]'],
    ['bytes', BYTES, undefined, CONTENT_FORMAT.bytes, Buffer.concat([BYTES, Buffer.from(' …[cut, 70000 bytes]')])],
    ['text, as octets', 'ü', CONTENT_FORMAT.bytes, CONTENT_FORMAT.bytes, 'ü …[cut, 70000 bytes]'],
    ['text, as JSON', 'ü', CONTENT_FORMAT.json, CONTENT_FORMAT.json, '{"cut":true,"bytes":70000,"head":"ü"}'],
    [
      ...(['bytes, as JSON', BYTES, CONTENT_FORMAT.json, CONTENT_FORMAT.json] as const),
      '{"cut":true,"bytes":70000,"head":{"base64":"AP8="}}',
    ],
  ])('says of a cut result how long the whole is: %s', (_, head, accept, contentFormat, payload) => {
    const result = { cut: true, bytes: 70_000, head };
    expect(formatResponse({ result }, POST, accept, undefined)).toEqual({
      code: '2.04',
      contentFormat,
      payload: Buffer.from(payload),
    });
    expect(decode(formatResponse({ result }, POST, CONTENT_FORMAT.cbor, undefined).payload)).toEqual({
      ...result,
      head: typeof head === 'string' ? head : new Uint8Array(head),
    });
  });

  it('cannot be written in a format that cannot carry it', () => {
    expect(() => formatResponse({ result: OBJECT }, GET, CONTENT_FORMAT.bytes, undefined)).toThrow('neither bytes');
    expect(() => formatResponse({ result: () => 1 }, GET, undefined, undefined)).toThrow('JSON');
  });
});

describe('a response to an error', () => {
  it('has the CoAP code of the list, and a diagnostic with the error’s code and message', () => {
    for (const [code, entry] of Object.entries(ERRORS)) {
      if (!('wire' in entry)) continue;
      expect(entry.wire.coap, code).toMatch(/^[45]\.\d\d$/);
    }
    expect(
      formatResponse({ error: { code: 'handler-failed', message: 'a\n b' } }, POST, CONTENT_FORMAT.json, undefined),
    ).toEqual({ code: '5.00', payload: Buffer.from('handler-failed: a; b') });
    expect(
      formatResponse({ error: { code: 'bad-params', message: 'x' } }, GET, undefined, CONTENT_FORMAT.cbor),
    ).toEqual(diagnostic('4.00', 'bad-params: x'));
  });

  it('says that a refusal could not be recorded', () => {
    const busy = { error: { code: 'busy', message: 'x' } } as const;
    expect(formatResponse({ ...busy, recorded: false }, POST, undefined, undefined)).toMatchObject({
      ...{ code: '5.03', maxAge: 5, unrecorded: true },
    });
    expect(formatResponse(busy, POST, undefined, undefined)).not.toHaveProperty('unrecorded');
  });

  it('has Max-Age when it is busy', () => {
    expect(formatResponse({ error: { code: 'busy', message: 'x' } }, POST, undefined, undefined)).toMatchObject({
      code: '5.03',
      maxAge: 5,
    });
  });
});

describe('a response', () => {
  it('to a repeat whose result is forgotten is empty, and says so', () => {
    expect(formatResponse({ result: undefined, forgotten: true }, POST, undefined, undefined)).toEqual({
      ...{ code: '2.04', payload: Buffer.alloc(0), forgotten: true },
    });
  });

  it('has the identity of the journal that the reply has, with a result and with an error', () => {
    const journal = '0123456789ab:86400';
    expect(formatResponse({ result: 'x', journal }, GET, undefined, undefined)).toMatchObject({ journal });
    const error = { code: 'expired', message: 'x' } as const;
    expect(formatResponse({ error, journal }, GET, undefined, undefined)).toMatchObject({ journal });
    expect(formatResponse({ result: 'x' }, GET, undefined, undefined)).not.toHaveProperty('journal');
  });
});
