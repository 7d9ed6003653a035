import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OPTION } from '../../../shared/coap/options.js';
import { formatPlaintext, parsePlaintext } from '../../../shared/oscore/plaintext.js';
import { anyRequest } from '../../support/oscore.js';
import { REQUEST_VECTORS, RESPONSE_VECTORS } from '../../support/oscore-vectors.js';
import { SEED } from '../../support/seed.js';

const hex = (text: string) => Buffer.from(text, 'hex');
const NONE = Buffer.alloc(0);

describe('a plaintext', () => {
  it('is that of the requests in RFC 8613, Appendix C', () => {
    const options = [{ number: OPTION.uriPath, value: Buffer.from('tv1') }];
    for (const { plaintext } of REQUEST_VECTORS) {
      expect(formatPlaintext('0.01', options, NONE).toString('hex')).toBe(plaintext);
      expect(parsePlaintext(hex(plaintext))).toEqual({ code: '0.01', options, payload: NONE });
    }
  });

  it('is that of the responses in RFC 8613, Appendix C', () => {
    const payload = Buffer.from('Hello World!');
    for (const { plaintext } of RESPONSE_VECTORS) {
      expect(formatPlaintext('2.05', [], payload).toString('hex')).toBe(plaintext);
      expect(parsePlaintext(hex(plaintext))).toEqual({ code: '2.05', options: [], payload });
    }
  });

  it('is a code alone when there is nothing else', () => {
    expect(formatPlaintext('2.04', [], NONE).toString('hex')).toBe('44');
    expect(parsePlaintext(hex('44'))).toEqual({ code: '2.04', options: [], payload: NONE });
  });

  it('is read as it was written', () => {
    fc.assert(
      fc.property(anyRequest, (message) => {
        const { code, options, payload } = message;
        expect(parsePlaintext(formatPlaintext(code, options, payload))).toEqual(message);
      }),
      { seed: SEED },
    );
  });

  it.each([
    ['a payload marker without a payload', '01ff'],
    ['an option beyond the end', '01b37476'],
    ['a reserved option delta', '01f1aa'],
    ['something after an empty code', '00b3747631'],
    ['nothing', ''],
  ])('is malformed with %s', (_, plaintext) => {
    expect(parsePlaintext(hex(plaintext))?.code ?? '0.00').toBe('0.00');
  });

  it('is not written for a message longer than a datagram', () => {
    expect(() => formatPlaintext('2.05', [], Buffer.alloc(70_000))).toThrow(Error);
  });
});
