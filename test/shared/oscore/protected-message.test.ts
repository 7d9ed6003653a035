import { describe, expect, it } from 'vitest';
import type { Option } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { isOwnContext, readFields } from '../../../shared/oscore/protected-message.js';
import { DEVICE, OPERATOR } from '../../support/oscore.js';
import { CONTEXT_VECTORS, contextOf } from '../../support/oscore-vectors.js';

const hex = (text: string) => Buffer.from(text, 'hex');
const OSCORE: Option = { number: OPTION.oscore, value: hex('091401') };
const message = (options = [OSCORE], payload = Buffer.alloc(9)) => ({ code: '0.02', options, payload });

describe('a protected message', () => {
  it('has the fields of its OSCORE option', () => {
    expect(readFields(message())).toEqual({ partialIv: hex('14'), kidContext: undefined, kid: hex('01') });
  });

  it('is none without an OSCORE option', () => {
    expect(readFields(message([]))).toBe('not-oscore');
  });

  it.each([
    ['two OSCORE options', message([OSCORE, OSCORE])],
    ['a malformed OSCORE option', message([{ ...OSCORE, value: hex('ff') }])],
    ['no payload', message([OSCORE], Buffer.alloc(0))],
    ['a ciphertext of the tag alone', message([OSCORE], Buffer.alloc(8))],
  ])('is malformed with %s', (_, given) => {
    expect(readFields(given)).toBe('malformed');
  });

  it.each([
    ['Block1', OPTION.block1],
    ['Block2', OPTION.block2],
  ])('is refused with %s outside', (_, number) => {
    expect(readFields(message([OSCORE, { number, value: hex('08') }]))).toBe('outer-block');
  });
});

describe('a kid context', () => {
  it('may be left out', () => {
    expect(isOwnContext(DEVICE, undefined)).toBe(true);
  });

  it('is taken when it is the own ID Context', () => {
    expect(isOwnContext(DEVICE, OPERATOR.idContext)).toBe(true);
  });

  it.each(['', '38', '3839383833303730303030303030303030303031'])('of others is not taken: %j', (context) => {
    expect(isOwnContext(DEVICE, hex(context))).toBe(false);
  });

  it('is not taken where there is no ID Context', () => {
    const [vector] = CONTEXT_VECTORS;
    if (vector === undefined) return expect.unreachable();
    expect(isOwnContext(contextOf(vector), hex(''))).toBe(false);
  });
});
