import { describe, expect, it } from 'vitest';
import { bindingOf, formatAad, receivedBinding } from '../../../shared/oscore/binding.js';
import { protectRequest } from '../../../shared/oscore/request.js';
import { partialIvOf } from '../../../shared/oscore/sequence-number.js';
import { requestMessage } from '../../support/coap.js';
import { DEVICE, OPERATOR } from '../../support/oscore.js';
import { contextOf, REQUEST_VECTORS, VECTOR_NUMBER } from '../../support/oscore-vectors.js';

const hex = (text: string) => Buffer.from(text, 'hex');

describe('the additional authenticated data', () => {
  it('is that of the example in RFC 8613 §5.4', () => {
    const aad = formatAad(hex('00'), hex('25'));
    expect(Buffer.from(aad).toString('hex')).toBe('8368456e63727970743040498501810a4100412540');
  });

  it('has the Partial IV as it was sent', () => {
    expect(formatAad(hex('00'), hex('0025'))).not.toEqual(formatAad(hex('00'), hex('25')));
  });
});

describe('the binding of a request', () => {
  it.each(REQUEST_VECTORS)('is that of RFC 8613, Appendix $name', ({ client, aad, nonce }) => {
    const binding = bindingOf(contextOf(client), VECTOR_NUMBER);
    expect(Buffer.from(binding.aad).toString('hex')).toBe(aad);
    expect(binding.nonce.toString('hex')).toBe(nonce);
  });

  it('is made again from its number', () => {
    const number = 2 ** 36 + 5;
    const { binding } = protectRequest(OPERATOR, number, requestMessage({ path: 'ping' }));
    expect(bindingOf(OPERATOR, number)).toEqual(binding);
  });

  it('that was received is the sender’s own, and has the Partial IV as it was sent', () => {
    const number = 2 ** 36 + 5;
    expect(receivedBinding(DEVICE, partialIvOf(number))).toEqual(bindingOf(OPERATOR, number));
    const padded = receivedBinding(DEVICE, hex('0005'));
    expect(padded.nonce).toEqual(bindingOf(OPERATOR, 5).nonce);
    expect(padded.aad).not.toEqual(bindingOf(OPERATOR, 5).aad);
  });
});
