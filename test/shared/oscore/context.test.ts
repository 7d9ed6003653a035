import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { deriveContext } from '../../../shared/oscore/context.js';
import { CONTEXT_VECTORS, contextOf } from '../../support/oscore-vectors.js';

const hex = (text: string) => Buffer.from(text, 'hex');
const INPUT = { masterSecret: hex('0102030405060708090a0b0c0d0e0f10'), senderId: hex(''), recipientId: hex('01') };

describe('a security context', () => {
  it.each(CONTEXT_VECTORS)('is derived as in RFC 8613, Appendix $name', (vector) => {
    const context = contextOf(vector);
    expect(context.senderKey.export().toString('hex')).toBe(vector.senderKey);
    expect(context.recipientKey.export().toString('hex')).toBe(vector.recipientKey);
    expect(context.senderIv.toString('hex')).toBe(vector.senderNonce);
    expect(context.recipientIv.toString('hex')).toBe(vector.recipientNonce);
  });

  it('is the same with an empty Master Salt as without one', () => {
    const salted = deriveContext({ ...INPUT, masterSalt: hex('') });
    expect(salted.senderKey.equals(deriveContext(INPUT).senderKey)).toBe(true);
  });

  it('is another one with an empty ID Context than without one', () => {
    const named = deriveContext({ ...INPUT, idContext: hex('') });
    expect(named.senderKey.equals(deriveContext(INPUT).senderKey)).toBe(false);
  });

  it('shows its keys in no log', () => {
    const context = deriveContext(INPUT);
    const shown = `${inspect(context, { depth: 9 })} ${JSON.stringify(context)}`;
    for (const key of [context.senderKey, context.recipientKey]) {
      const bytes = key.export();
      const forms = [bytes.toString('hex'), inspect(bytes).slice(8, -1), JSON.stringify([...bytes]).slice(1, -1)];
      expect(forms.filter((form) => shown.includes(form))).toEqual([]);
    }
  });

  it.each([
    ['an empty master secret', { masterSecret: hex('') }],
    ['a Sender ID of 8 bytes', { senderId: Buffer.alloc(8) }],
    ['a Recipient ID of 8 bytes', { recipientId: Buffer.alloc(8) }],
    ['equal Sender IDs of both endpoints', { senderId: hex('01') }],
    ['an ID Context of 242 bytes', { idContext: Buffer.alloc(242) }],
  ])('is not derived from %s', (_, wrong) => {
    expect(() => deriveContext({ ...INPUT, ...wrong })).toThrow(RangeError);
  });

  it('is derived from IDs of 7 bytes and an ID Context of 241', () => {
    const input = {
      ...INPUT,
      senderId: Buffer.alloc(7),
      recipientId: Buffer.alloc(7, 1),
      idContext: Buffer.alloc(241),
    };
    expect(deriveContext(input).senderIv).toHaveLength(13);
  });
});
