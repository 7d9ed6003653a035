import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { coapOf, describeCoap } from '../../../loopback/network/coap-summary.js';
import { type CoapMessage, formatMessage, type Option } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { toCbor } from '../../../shared/format/value.js';
import { protectRequest } from '../../../shared/oscore/request.js';
import { protectResponse } from '../../../shared/oscore/response.js';
import { DEVICE, OPERATOR, openRequest } from '../../support/oscore.js';

const NOTHING = Buffer.alloc(0);
const message = (parts: Partial<CoapMessage>): Buffer =>
  formatMessage({
    ...{ type: 'CON', code: '0.02', messageId: 1, token: Buffer.from('tk'), options: [], payload: NOTHING },
    ...parts,
  });
const described = (bytes: Buffer) => {
  const { coap } = coapOf(bytes);
  return coap && describeCoap(coap);
};
const withOscore = (value: Buffer, more: readonly Option[] = []) =>
  message({ options: [{ number: OPTION.oscore, value }, ...more], payload: Buffer.alloc(20) });

describe('of a CoAP message', () => {
  test('its code is told, of requests, responses and empty messages', () => {
    expect(coapOf(message({}))).toEqual({ coap: { code: '0.02' } });
    expect(described(message({}))).toBe('CoAP 0.02');
    expect(described(message({ type: 'ACK', code: '2.05', payload: Buffer.from('pong') }))).toBe('CoAP 2.05');
    expect(described(message({ type: 'ACK', code: '0.00', token: NOTHING }))).toBe('CoAP 0.00');
  });

  test('a protected request shows whose key protects it, and its number', () => {
    const { message: parts } = protectRequest(OPERATOR, 12_345, { code: '0.01', options: [], payload: NOTHING });
    const bytes = message(parts);
    expect(coapOf(bytes)).toEqual({ coap: { code: '0.02', oscore: { kid: '01', number: 12_345 } } });
    expect(described(bytes)).toBe('protected (kid 01, number 12345)');
  });

  test('a protected response shows its number where it has one', () => {
    const { message: request } = protectRequest(OPERATOR, 7, { code: '0.01', options: [], payload: NOTHING });
    const opened = openRequest(DEVICE, request);
    if (!opened.ok) throw new Error(opened.reason);
    const response = { code: '2.05', options: [], payload: Buffer.from('secret') };
    const respond = (number: number | 'request-nonce') =>
      message({ type: 'ACK', ...protectResponse(DEVICE, opened.binding, number, response) });
    expect(coapOf(respond('request-nonce'))).toEqual({ coap: { code: '2.04', oscore: {} } });
    expect(described(respond('request-nonce'))).toBe('protected');
    expect(described(respond(99))).toBe('protected (number 99)');
  });

  test('an event of the device shows that the key’s ID is empty', () => {
    const { message: event } = protectRequest(DEVICE, 8, { code: '0.02', options: [], payload: NOTHING });
    expect(described(message({ type: 'NON', ...event }))).toBe('protected (kid empty, number 8)');
  });

  test('a protected message that no receiver can open says so', () => {
    expect(described(withOscore(Buffer.of(0xff)))).toBe('protected (malformed)');
    expect(described(withOscore(NOTHING, [{ number: OPTION.block1, value: Buffer.of(1) }]))).toBe(
      'protected (outer-block)',
    );
  });
});

describe('of other payloads', () => {
  test('nothing is told of text, JSON, CBOR, nothing and other bytes, text that could be CoAP included', () => {
    // `p` and `@` are first bytes of CoAP version 1.
    for (const text of ['', 'ping', 'pong: it is #7', '@abcdef', 'hello, world', '{"method":"ping"}', '[1]']) {
      expect(coapOf(Buffer.from(text)), text).toEqual({});
    }
    expect(coapOf(Buffer.from(toCbor({ method: 'ping' })))).toEqual({});
    expect(coapOf(Buffer.from([0x41, 0xff]))).toEqual({});
  });

  test('no payload makes it fail', () => {
    const anyBytes = fc.uint8Array({ maxLength: 60 });
    // Of which many have a header that is well-formed.
    const almostCoap = fc.tuple(fc.integer({ min: 0x40, max: 0x7f }), anyBytes).map(([head, rest]) => [head, ...rest]);
    fc.assert(
      fc.property(fc.oneof(anyBytes, almostCoap), (bytes) => {
        const { coap } = coapOf(Buffer.from(bytes));
        if (coap !== undefined) expect(describeCoap(coap)).toMatch(/^(CoAP \d\.\d\d|protected( \([\w, -]+\))?)$/);
      }),
    );
  });
});
