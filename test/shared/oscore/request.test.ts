import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { OPTION, stringOption } from '../../../shared/coap/options.js';
import { encrypt } from '../../../shared/oscore/aead.js';
import { bindingOf } from '../../../shared/oscore/binding.js';
import { deviceContext, operatorContext, type SharedKey } from '../../../shared/oscore/identities.js';
import { formatOscoreOption } from '../../../shared/oscore/option.js';
import type { MessageParts } from '../../../shared/oscore/plaintext.js';
import { parseProtectedRequest, protectRequest } from '../../../shared/oscore/request.js';
import { partialIvOf } from '../../../shared/oscore/sequence-number.js';
import { requestMessage } from '../../support/coap.js';
import {
  anyNumber,
  anyRequest,
  authenticPart,
  DEVICE,
  flippedMessages,
  KEY,
  mutate,
  OPERATOR,
  openRequest,
  parseMutated,
} from '../../support/oscore.js';
import { contextOf, REQUEST_VECTORS, VECTOR_NUMBER } from '../../support/oscore-vectors.js';
import { SEED, seededRandom } from '../../support/seed.js';

const hex = (text: string) => Buffer.from(text, 'hex');
const NUMBER = 2 ** 36 + 20;
const PING = requestMessage({ method: '0.01', path: 'ping', token: 'abcd' });
const protect = (message: MessageParts = PING) => protectRequest(OPERATOR, NUMBER, message).message;

describe('a protected request', () => {
  it.each(REQUEST_VECTORS)('has the bytes of RFC 8613, Appendix $name', (vector) => {
    const request = parseMessage(hex(vector.unprotected));
    const { sendsKidContext } = vector;
    const { message } = protectRequest(contextOf(vector.client), VECTOR_NUMBER, request, { sendsKidContext });
    expect(message.options.at(-1)?.value.toString('hex')).toBe(vector.option);
    expect(message.payload.toString('hex')).toBe(vector.ciphertext);
    expect(formatMessage({ ...request, ...message }).toString('hex')).toBe(vector.protected);
  });

  it.each(REQUEST_VECTORS)('is decrypted as in RFC 8613, Appendix $name', (vector) => {
    const opened = openRequest(contextOf(vector.server), parseMessage(hex(vector.protected)));
    const { code, options, payload } = parseMessage(hex(vector.unprotected));
    if (!opened.ok) return expect.unreachable(opened.reason);
    expect(opened.message).toEqual({ code, options, payload });
    expect(opened.binding.nonce.toString('hex')).toBe(vector.nonce);
    expect(Buffer.from(opened.binding.aad).toString('hex')).toBe(vector.aad);
  });

  it('is decrypted to the same message', () => {
    fc.assert(
      fc.property(anyRequest, anyNumber, fc.boolean(), (request, number, sendsKidContext) => {
        const { message, binding } = protectRequest(OPERATOR, number, request, { sendsKidContext });
        const opened = openRequest(DEVICE, message);
        expect(opened).toEqual({ ok: true, message: request, binding });
      }),
      { seed: SEED },
    );
  });

  it('goes through the CoAP codec', () => {
    const bytes = formatMessage({ ...PING, ...protect() });
    expect(openRequest(DEVICE, parseMessage(bytes))).toMatchObject({ ok: true, message: { code: '0.01' } });
  });

  it('is at most 18 bytes longer than plain CoAP with a Partial IV of 5 bytes, a kid of one and no kid context', () => {
    expect(partialIvOf(NUMBER)).toHaveLength(5);
    const plain = formatMessage(PING);
    expect(formatMessage({ ...PING, ...protect() }).length - plain.length).toBeLessThanOrEqual(18);
  });

  it('tells its kid, kid context and number without being decrypted', () => {
    const { message } = protectRequest(OPERATOR, NUMBER, PING, { sendsKidContext: true });
    expect(parseProtectedRequest(message)).toMatchObject({
      ok: true,
      request: { kid: Buffer.of(1), kidContext: Buffer.from(KEY.deviceId), number: NUMBER },
    });
    expect(parseProtectedRequest(protect())).toMatchObject({ ok: true, request: { kidContext: undefined } });
  });

  it('has the code POST, and FETCH with Observe inside and outside', () => {
    const observe = { number: OPTION.observe, value: Buffer.alloc(0) };
    const observing = protectRequest(OPERATOR, NUMBER, { ...PING, options: [observe, ...PING.options] });
    expect([protect().code, observing.message.code]).toEqual(['0.02', '0.05']);
    expect(observing.message.options).toContainEqual(observe);
    expect(observing.binding.observes).toBe(true);
    const opened = openRequest(DEVICE, observing.message);
    expect(opened).toMatchObject({
      ok: true,
      message: { options: [observe, ...PING.options] },
      binding: { observes: true },
    });
  });

  it('shows nothing of its path, query and payload, and leaves Uri-Host outside', () => {
    const request = requestMessage({
      path: 'relay/set',
      query: ['secret=1'],
      payload: 'content',
      options: [stringOption(OPTION.uriHost, 'gateway')],
    });
    const { options, payload } = protect(request);
    expect(options.map(({ number }) => number)).toEqual([OPTION.uriHost, OPTION.oscore]);
    expect(['relay', 'set', 'secret', 'content'].filter((text) => payload.includes(text))).toEqual([]);
  });

  it('of a device has an empty kid, by which an operator decrypts it', () => {
    const event = requestMessage({ type: 'NON', path: 'events', payload: 'door open' });
    const { message } = protectRequest(DEVICE, NUMBER, event);
    expect(parseProtectedRequest(message)).toMatchObject({ ok: true, request: { kid: Buffer.alloc(0) } });
    expect(openRequest(OPERATOR, message)).toMatchObject({ ok: true, message: { payload: event.payload } });
  });

  it.each([-1, 0.5, 2 ** 40, Number.NaN])('is not made with the number %d', (number) => {
    expect(() => protectRequest(OPERATOR, number, PING)).toThrow(RangeError);
  });
});

describe('a request that is refused', () => {
  it.each([
    ['the operator’s', protect()],
    ['a device’s', protectRequest(DEVICE, 300, PING).message],
    ['one with a kid context', protectRequest(OPERATOR, 7, PING, { sendsKidContext: true }).message],
  ])('differs in any bit of code, OSCORE option or ciphertext: %s', (whose, message) => {
    const receiver = whose === 'a device’s' ? OPERATOR : DEVICE;
    expect(openRequest(receiver, message).ok).toBe(true);
    const opened = flippedMessages(message).filter((flipped) => openRequest(receiver, flipped).ok);
    expect(opened).toEqual([]);
  });

  it('is for another kid, device or ID Context', () => {
    const openAs = (other: Partial<SharedKey>) => openRequest(deviceContext({ ...KEY, ...other }), protect());
    expect(openAs({ kid: 2 })).toEqual({ ok: false, reason: 'unknown-kid' });
    expect(openAs({ deviceId: 'another' })).toEqual({ ok: false, reason: 'bad-tag' });
    const named = protectRequest(operatorContext({ ...KEY, deviceId: 'another' }), NUMBER, PING, {
      sendsKidContext: true,
    });
    expect(openRequest(DEVICE, named.message)).toEqual({ ok: false, reason: 'unknown-kid' });
  });

  it('has a Partial IV with leading zero bytes that its sender did not write', () => {
    const { message } = protectRequest(OPERATOR, 20, PING);
    const value = formatOscoreOption({ partialIv: hex('0014'), kid: Buffer.of(1) });
    const padded = { ...message, options: [{ number: OPTION.oscore, value }] };
    expect(parseProtectedRequest(padded)).toMatchObject({ ok: true, request: { number: 20 } });
    expect(openRequest(DEVICE, padded)).toEqual({ ok: false, reason: 'bad-tag' });
  });

  it.each([
    ['no Partial IV', '0801'],
    ['no kid', '0114'],
    ['neither', ''],
  ])('has %s', (_, value) => {
    const message = { ...protect(), options: [{ number: OPTION.oscore, value: hex(value) }] };
    expect(openRequest(DEVICE, message)).toEqual({ ok: false, reason: 'malformed' });
  });

  it.each(['0.01', '0.03', '2.04', '2.05', '0.00'])('has the outer code %s', (code) => {
    expect(openRequest(DEVICE, { ...protect(), code })).toEqual({ ok: false, reason: 'malformed' });
  });

  it('has no OSCORE option, or a Block option outside', () => {
    const message = protect();
    expect(openRequest(DEVICE, PING)).toEqual({ ok: false, reason: 'not-oscore' });
    const block = { number: OPTION.block1, value: hex('08') };
    expect(openRequest(DEVICE, { ...message, options: [...message.options, block] })).toEqual({
      ok: false,
      reason: 'outer-block',
    });
  });

  it.each([
    ['an empty code', '00'],
    ['the code of a response', '45'],
    ['a marker without a payload', '01ff'],
    ['an option beyond the end', '01b470'],
    ['an OSCORE option', '019109'],
  ])('was protected by its sender with %s', (_, plaintext) => {
    const message = { ...protect(), payload: sealed(hex(plaintext)) };
    expect(openRequest(DEVICE, message)).toEqual({ ok: false, reason: 'malformed-plaintext' });
  });
});

describe('a request with any plaintext that its sender protected', () => {
  it('is decrypted or refused, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (plaintext) => {
        const opened = openRequest(DEVICE, { ...protect(), payload: sealed(Buffer.from(plaintext)) });
        if (!opened.ok) expect(opened.reason).toBe('malformed-plaintext');
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

describe('a mutated request', () => {
  const ROUNDS = 20_000;

  it('is refused or decrypted to what was protected, and never throws', () => {
    const random = seededRandom(SEED);
    const requests = [
      PING,
      requestMessage({ path: 'relay/set', payload: 'on', options: [stringOption(OPTION.uriHost, 'gateway')] }),
      requestMessage({ path: 'log', block1: { number: 3, more: true, exponent: 5 }, payload: random.bytes(512) }),
    ] as const;
    const results = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const request = random.pick(requests);
      const number = random.pick([NUMBER, random.integer(300)]);
      const bytes = formatMessage({ ...request, ...protectRequest(OPERATOR, number, request).message });
      const mutated = parseMutated(mutate(bytes, random));
      if (mutated === undefined) continue;
      const opened = openRequest(DEVICE, mutated);
      results.add(opened.ok ? 'opened' : opened.reason);
      if (opened.ok) {
        expect(authenticPart(opened.message), `round ${round} of seed ${SEED}`).toEqual(authenticPart(request));
      }
    }
    expect([...results].sort()).toEqual(['bad-tag', 'malformed', 'not-oscore', 'opened', 'outer-block', 'unknown-kid']);
  });
});

/** Encrypts any plaintext as the operator's request of {@link NUMBER}. */
function sealed(plaintext: Buffer): Buffer {
  const { aad, nonce } = bindingOf(OPERATOR, NUMBER);
  return encrypt(OPERATOR.senderKey, nonce, aad, plaintext);
}
