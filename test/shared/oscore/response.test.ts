import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyMessage, formatMessage, type Option, parseMessage } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { encrypt, nonceOf } from '../../../shared/oscore/aead.js';
import { bindingOf } from '../../../shared/oscore/binding.js';
import type { MessageParts } from '../../../shared/oscore/plaintext.js';
import { protectRequest } from '../../../shared/oscore/request.js';
import { protectResponse, unprotectResponse } from '../../../shared/oscore/response.js';
import { partialIvOf } from '../../../shared/oscore/sequence-number.js';
import { requestMessage } from '../../support/coap.js';
import {
  anyNumber,
  anyRequest,
  anyResponse,
  authenticPart,
  DEVICE,
  flippedMessages,
  KEY,
  mutate,
  OPERATOR,
  openRequest,
  parseMutated,
} from '../../support/oscore.js';
import { contextOf, RESPONSE_VECTORS, VECTOR_NUMBER } from '../../support/oscore-vectors.js';
import { SEED, seededRandom } from '../../support/seed.js';

const hex = (text: string) => Buffer.from(text, 'hex');
const BINDING = bindingOf(OPERATOR, 2 ** 36);
const OBSERVING = bindingOf(OPERATOR, 2 ** 36, true);
const PONG: MessageParts = {
  code: '2.05',
  options: [{ number: OPTION.contentFormat, value: Buffer.alloc(0) }],
  payload: Buffer.from('pong'),
};
const OBSERVE: Option = { number: OPTION.observe, value: hex('07') };
const NOTIFICATION: MessageParts = { ...PONG, options: [OBSERVE, ...PONG.options] };
const protect = (number: number | 'request-nonce', message = PONG) => protectResponse(DEVICE, BINDING, number, message);
const open = (message: MessageParts) => unprotectResponse(OPERATOR, BINDING, message);
const withOption = (message: MessageParts, value: string): MessageParts => ({
  ...message,
  options: [{ number: OPTION.oscore, value: hex(value) }],
});
/** The own ID Context of 19 bytes. */
const KID_CONTEXT = Buffer.from(KEY.deviceId).toString('hex');
const WITH_KID_CONTEXT = withOption(protect(7), `110713${KID_CONTEXT}`);

describe('a protected response', () => {
  it.each(RESPONSE_VECTORS)('has the bytes of RFC 8613, Appendix $name', (vector) => {
    const response = parseMessage(hex(vector.unprotected));
    const binding = bindingOf(contextOf(vector.client), VECTOR_NUMBER);
    const message = protectResponse(contextOf(vector.server), binding, vector.number, response);
    expect(message.options.at(-1)?.value.toString('hex')).toBe(vector.option);
    expect(message.payload.toString('hex')).toBe(vector.ciphertext);
    expect(formatMessage({ ...response, ...message }).toString('hex')).toBe(vector.protected);
  });

  it.each(RESPONSE_VECTORS)('is decrypted as in RFC 8613, Appendix $name', (vector) => {
    const client = contextOf(vector.client);
    const opened = unprotectResponse(client, bindingOf(client, VECTOR_NUMBER), parseMessage(hex(vector.protected)));
    const { code, options, payload } = parseMessage(hex(vector.unprotected));
    const number = vector.number === 'request-nonce' ? undefined : vector.number;
    expect(opened).toEqual({ ok: true, message: { code, options, payload }, number });
  });

  it('is decrypted to the same message, without its value of Observe', () => {
    const number = fc.oneof(anyNumber, fc.constant('request-nonce' as const));
    fc.assert(
      fc.property(anyRequest, anyNumber, anyResponse, number, (request, requestNumber, response, own) => {
        const { message, binding } = protectRequest(OPERATOR, requestNumber, request);
        const received = openRequest(DEVICE, message);
        if (!received.ok) return expect.unreachable(received.reason);
        const sent = received.binding.observes ? response : withoutObserve(response);
        const opened = unprotectResponse(OPERATOR, binding, protectResponse(DEVICE, received.binding, own, sent));
        const expected = { ...sent, options: sent.options.map(emptyObserve) };
        expect(opened).toEqual({ ok: true, message: expected, number: own === 'request-nonce' ? undefined : own });
      }),
      { seed: SEED },
    );
  });

  it('has the code 2.04, also if it is an error, and 2.05 with Observe', () => {
    const challenge = {
      code: '4.01',
      options: [{ number: OPTION.echo, value: hex('0102') }],
      payload: Buffer.alloc(0),
    };
    expect([protect(5).code, protect(6, challenge).code, protect(7, NOTIFICATION).code]).toEqual([
      '2.04',
      '2.04',
      '2.05',
    ]);
    expect(protect(6, challenge).options).toHaveLength(1);
    expect(open(protect(6, challenge))).toEqual({ ok: true, message: challenge, number: 6 });
  });

  it('to a request with Observe has it empty inside, and may come without Observe', () => {
    const opened = unprotectResponse(OPERATOR, OBSERVING, protect(5, NOTIFICATION));
    expect(opened).toMatchObject({ ok: true, message: { options: [{ ...OBSERVE, value: hex('') }, ...PONG.options] } });
    expect(unprotectResponse(OPERATOR, OBSERVING, protect(6))).toMatchObject({ ok: true, message: PONG });
  });

  it('is taken with a kid context that is the own ID Context', () => {
    const withoutNumber = withOption(protect('request-nonce'), `1013${KID_CONTEXT}`);
    expect(open(withoutNumber)).toEqual({ ok: true, message: PONG, number: undefined });
    expect(open(WITH_KID_CONTEXT)).toEqual({ ok: true, message: PONG, number: 7 });
  });

  it('is the same when it is made again', () => {
    expect(protect(7)).toEqual(protect(7));
  });

  it('is not made of a protected one', () => {
    expect(() => protect(8, protect(7))).toThrow(Error);
  });
});

describe('a response that is refused', () => {
  it.each([
    ['with a Partial IV of one byte', protect(7)],
    ['with a Partial IV of 5 bytes', protect(2 ** 36 + 1)],
    ['without a Partial IV', protect('request-nonce')],
    ['with a kid context', WITH_KID_CONTEXT],
  ])('differs in any bit of code, OSCORE option or ciphertext: %s', (_, message) => {
    expect(open(message).ok).toBe(true);
    expect(flippedMessages(message).filter((flipped) => open(flipped).ok)).toEqual([]);
  });

  it('belongs to another request', () => {
    for (const number of [7, 'request-nonce'] as const) {
      const opened = unprotectResponse(OPERATOR, bindingOf(OPERATOR, 2 ** 36 + 1), protect(number));
      expect(opened).toEqual({ ok: false, reason: 'bad-tag' });
    }
  });

  it('is the request sent back', () => {
    const { message } = protectRequest(OPERATOR, 2 ** 36, requestMessage({ path: 'ping' }));
    expect(open({ ...withOption(message, ''), code: '2.04' })).toEqual({ ok: false, reason: 'bad-tag' });
  });

  it.each([
    ['another kid context', '100161', 'unknown-kid'],
    ['an empty kid context', '1000', 'unknown-kid'],
    ['a kid', '08', 'malformed'],
    ['a reserved flag', '2107', 'malformed'],
  ])('has %s', (_, value, reason) => {
    expect(open(withOption(protect('request-nonce'), value))).toEqual({ ok: false, reason });
  });

  it('has no OSCORE option, as the errors of OSCORE itself, or a Block option outside', () => {
    expect(open({ ...PONG, code: '4.01' })).toEqual({ ok: false, reason: 'not-oscore' });
    const message = protect(7);
    const block = { number: OPTION.block2, value: hex('08') };
    expect(open({ ...message, options: [...message.options, block] })).toEqual({ ok: false, reason: 'outer-block' });
  });

  it.each(['2.05', '4.01', '0.02', '0.00'])('has the outer code %s', (code) => {
    expect(open({ ...protect(7), code })).toEqual({ ok: false, reason: 'malformed' });
  });

  it('has Observe though its request had none', () => {
    expect(open({ ...protect(7, NOTIFICATION), code: '2.04' })).toEqual({ ok: false, reason: 'malformed-plaintext' });
  });

  it.each([
    ['an empty code', '00'],
    ['the code of a request', '01'],
    ['the code of a signal', 'e1'],
    ['a marker without a payload', '45ff'],
    ['an OSCORE option', '459109'],
  ])('was protected by its sender with %s', (_, plaintext) => {
    const nonce = nonceOf(DEVICE.senderIv, partialIvOf(7));
    const payload = encrypt(DEVICE.senderKey, nonce, BINDING.aad, hex(plaintext));
    expect(open({ ...protect(7), payload })).toEqual({ ok: false, reason: 'malformed-plaintext' });
  });
});

describe('a mutated response', () => {
  const ROUNDS = 20_000;

  it('is refused or decrypted to what was protected, and never throws', () => {
    const random = seededRandom(SEED);
    const results = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const message = random.pick([protect('request-nonce'), protect(random.integer(2 ** 30)), WITH_KID_CONTEXT]);
      const mutated = parseMutated(mutate(formatMessage({ ...emptyMessage('ACK', 1), ...message }), random));
      if (mutated === undefined) continue;
      const opened = open(mutated);
      results.add(opened.ok ? 'opened' : opened.reason);
      if (opened.ok) expect(authenticPart(opened.message), `round ${round} of seed ${SEED}`).toEqual(PONG);
    }
    expect([...results].sort()).toEqual(['bad-tag', 'malformed', 'not-oscore', 'opened', 'outer-block', 'unknown-kid']);
  });
});

const withoutObserve = (message: MessageParts): MessageParts => ({
  ...message,
  options: message.options.filter(({ number }) => number !== OPTION.observe),
});

const emptyObserve = (option: Option): Option =>
  option.number === OPTION.observe ? { ...option, value: Buffer.alloc(0) } : option;
