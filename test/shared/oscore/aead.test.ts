import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decrypt, encrypt, endpointIv, nonceOf } from '../../../shared/oscore/aead.js';
import { flips } from '../../support/oscore.js';

const hex = (text: string) => Buffer.from(text, 'hex');

describe('a nonce', () => {
  const commonIv = hex('4622d4dd6d944168eefb54987c');

  it.each([
    ['an empty ID and one byte', '', '14', '4622d4dd6d944168eefb549868'],
    ['an ID of one byte and the number 0', '01', '00', '4722d4dd6d944169eefb54987c'],
    ['an ID of 7 bytes and a Partial IV of 5', 'ffffffffffffff', 'ffffffffff', '41dd2b22926bbe971104ab6783'],
  ])('is made of %s', (_, id, partialIv, nonce) => {
    expect(nonceOf(endpointIv(commonIv, hex(id)), hex(partialIv)).toString('hex')).toBe(nonce);
  });

  it('is the same with leading zero bytes in the Partial IV', () => {
    const iv = endpointIv(commonIv, hex('01'));
    expect(nonceOf(iv, hex('0000000014'))).toEqual(nonceOf(iv, hex('14')));
  });

  it('leaves the IV that it is made of unchanged', () => {
    const iv = endpointIv(commonIv, hex('01'));
    const before = iv.toString('hex');
    nonceOf(iv, hex('ffff'));
    expect(iv.toString('hex')).toBe(before);
    expect(commonIv.toString('hex')).toBe('4622d4dd6d944168eefb54987c');
  });
});

describe('a ciphertext', () => {
  const key = createSecretKey(hex('f0910ed7295e6ad4b54fc793154302ff'));
  const nonce = hex('4622d4dd6d944168eefb549868');
  const aad = hex('8368456e63727970743040488501810a40411440');
  const ciphertext = hex('612f1092f1776f1c1668b3825e');

  it('is that of RFC 8613, Appendix C.4', () => {
    expect(encrypt(key, nonce, aad, hex('01b3747631')).toString('hex')).toBe(ciphertext.toString('hex'));
    expect(decrypt(key, nonce, aad, ciphertext)?.toString('hex')).toBe('01b3747631');
  });

  it('does not decrypt with a bit flipped in it, in the nonce or in the additional data', () => {
    const results = [
      ...flips(ciphertext).map((flipped) => decrypt(key, nonce, aad, flipped)),
      ...flips(nonce).map((flipped) => decrypt(key, flipped, aad, ciphertext)),
      ...flips(aad).map((flipped) => decrypt(key, nonce, flipped, ciphertext)),
    ];
    expect(results.filter((plaintext) => plaintext !== undefined)).toEqual([]);
  });
});
