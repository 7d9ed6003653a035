import { describe, expect, it } from 'vitest';
import { createEchoValues } from '../../../agent/security/echo.js';
import type { DeviceKey } from '../../../agent/security/key-file.js';
import { createProtection, type Opened, type OpenedRequest } from '../../../agent/security/protection.js';
import { createReplayGuard } from '../../../agent/security/replay-guard.js';
import { type CoapMessage, formatMessage, type Option, parseMessage } from '../../../shared/coap/message.js';
import { findOption, OPTION } from '../../../shared/coap/options.js';
import type { MessageParts } from '../../../shared/oscore/plaintext.js';
import { parseProtectedRequest, unprotectRequest } from '../../../shared/oscore/request.js';
import { flippedMessages } from '../../support/oscore.js';
import { startOperator, testKey } from '../../support/security.js';

const OPS = testKey({ name: 'ops' });
const OTHER = testKey({ name: 'other', kid: 2 });
const RESPONSE: MessageParts = { code: '2.05', options: [], payload: Buffer.from('pong') };

/** A device with keys, whose windows are known unless they are lost; it draws numbers from 1. */
function start({ isLost = false, count = 1000 } = {}) {
  const device: { keys: DeviceKey[]; left: number } = { keys: [OPS, OTHER], left: count };
  const drawn: number[] = [];
  const take = () => {
    if (drawn.length >= device.left) return undefined;
    drawn.push(drawn.length + 1);
    return drawn.length;
  };
  const guard = createReplayGuard(createEchoValues());
  if (!isLost)
    guard.restore(Object.fromEntries(device.keys.map(({ fingerprint }) => [fingerprint, { floor: 0, numbers: [] }])));
  const protection = createProtection({ keys: () => device.keys, numbers: { take }, guard });
  return { device, drawn, guard, protection, operator: startOperator() };
}

/** What of a request is to be answered: its message as it came. */
const parse = (bytes: Uint8Array): CoapMessage => parseMessage(Buffer.from(bytes));

function requestOf(opened: Opened | OpenedRequest | undefined): OpenedRequest {
  if (opened !== undefined && 'protect' in opened) return opened;
  if (opened === undefined || opened.kind === 'refused') throw new Error(`refused: ${opened?.reason}`);
  return opened.request;
}

/** The bytes of a response, as the device sends it. */
function respond(to: Uint8Array, parts: MessageParts | undefined): Buffer {
  if (parts === undefined) throw new Error('the response cannot be protected');
  const { messageId, token } = parse(to);
  return formatMessage({ type: 'ACK', messageId, token, ...parts });
}

describe('a protected request', () => {
  it('is opened as what its operator sent, and says whose it is', () => {
    const { protection, operator } = start();
    const sent = operator.protect({ path: 'relay/set', payload: 'on' });
    const opened = protection.open(parse(sent.bytes));
    expect(opened.kind).toBe('fresh');
    const { message, caller, origin } = requestOf(opened);
    expect(message.payload.toString()).toBe('on');
    expect(caller).toEqual({ kind: 'key', key: OPS, number: sent.number });
    expect(origin.key).toBe(OPS.fingerprint);
    expect(Number.parseInt(origin.partialIv, 16)).toBe(sent.number);
  });

  it('is fresh until it was accepted, and a replay afterwards, with whatever message ID and token', () => {
    const { protection, operator } = start();
    const { bytes } = operator.protect();
    const opened = protection.open(parse(bytes));
    expect(protection.open(parse(bytes)).kind).toBe('fresh');
    protection.accept(requestOf(opened));
    const changed: CoapMessage = { ...parse(bytes), messageId: 999, token: Buffer.from('x'), type: 'NON' };
    for (const each of [parse(bytes), changed]) {
      expect(protection.open(each)).toEqual({ kind: 'refused', reason: 'replay', key: OPS });
    }
  });

  it('with one bit changed is refused, and uses up no number', () => {
    const { protection, operator, drawn } = start();
    const message = parse(operator.protect({ payload: 'on' }).bytes);
    for (const flipped of flippedMessages(message)) {
      const opened = protection.open({ ...message, ...flipped });
      // The outer code has no meaning, but must be one of two.
      if (opened.kind !== 'refused') expect(flipped.code).toBe('0.05');
    }
    expect(protection.open(message).kind).toBe('fresh');
    expect(drawn).toEqual([]);
  });

  it.each<[string, (message: CoapMessage) => CoapMessage, string]>([
    ['without the OSCORE option', (message) => ({ ...message, options: [] }), 'malformed'],
    ['with a short ciphertext', (message) => ({ ...message, payload: Buffer.alloc(8) }), 'malformed'],
    [
      'with an outer block',
      (message) => withOption(message, { number: OPTION.block1, value: Buffer.of(8) }),
      'outer-block',
    ],
  ])('%s is refused', (_, change, reason) => {
    const { protection, operator } = start();
    const message = change(parse(operator.protect().bytes));
    expect(protection.open(message)).toEqual({ kind: 'refused', reason, key: undefined });
    expect(protection.reopen(message)).toBeUndefined();
  });

  it('of a key that is not known, or not any more, is refused', () => {
    const { device, protection } = start();
    const unknown = startOperator({ kid: 9 }).protect();
    expect(protection.open(parse(unknown.bytes))).toMatchObject({ reason: 'unknown-kid' });
    const { bytes } = startOperator({ kid: 2 }).protect();
    expect(protection.open(parse(bytes)).kind).toBe('fresh');
    device.keys = [OPS];
    expect(protection.open(parse(bytes))).toMatchObject({ reason: 'unknown-kid' });
    expect(protection.reopen(parse(bytes))).toBeUndefined();
  });

  it('with a kid that is known and another secret is refused', () => {
    const { protection } = start();
    const { bytes } = startOperator({ masterSecret: Buffer.alloc(16) }).protect();
    expect(protection.open(parse(bytes))).toEqual({ kind: 'refused', reason: 'bad-tag', key: OPS });
    expect(protection.reopen(parse(bytes))).toBeUndefined();
  });

  it('may name the device’s own kid context', () => {
    const { protection, operator } = start();
    const { bytes } = operator.protect({ sendsKidContext: true });
    expect(protection.open(parse(bytes)).kind).toBe('fresh');
  });

  it('with a number that is too old is refused before it is decrypted', () => {
    const { protection, guard, operator } = start();
    guard.restore({ [OPS.fingerprint]: { floor: 100, numbers: [] } });
    const message = parse(operator.protect({ number: 5 }).bytes);
    expect(protection.open({ ...message, payload: Buffer.alloc(20) })).toMatchObject({ reason: 'replay' });
  });
});

describe('a request after the window was lost', () => {
  it('is challenged, and accepted with the Echo value, which comes and goes encrypted', () => {
    const { protection, operator } = start({ isLost: true });
    const first = operator.protect();
    const unknown = protection.open(parse(first.bytes));
    expect(unknown.kind).toBe('unknown');
    const request = requestOf(unknown);
    expect([protection.admitChallenge(request), protection.admitChallenge(request)]).toEqual([true, false]);
    const challenge = respond(first.bytes, request.protect(protection.challenge(request)));
    expect(findOption(parse(challenge).options, OPTION.echo)).toBeUndefined();
    const { code, options } = first.open(challenge);
    expect(code).toBe('4.01');
    const value = findOption(options, OPTION.echo) ?? Buffer.alloc(0);
    const second = operator.protect({ options: [{ number: OPTION.echo, value }] });
    const fresh = protection.open(parse(second.bytes));
    expect(fresh.kind).toBe('fresh');
    protection.accept(requestOf(fresh));
    // It is challenged once.
    expect(protection.open(parse(first.bytes))).toMatchObject({ reason: 'replay' });
    expect(protection.open(parse(second.bytes))).toMatchObject({ reason: 'replay' });
    expect(protection.open(parse(operator.protect().bytes)).kind).toBe('fresh');
  });
});

describe('a protected response', () => {
  it('is opened by its operator, each with a number of its own', () => {
    const { protection, operator } = start();
    const numbers: (number | undefined)[] = [];
    for (let count = 0; count < 3; count++) {
      const sent = operator.protect();
      const request = requestOf(protection.open(parse(sent.bytes)));
      for (let repeat = 0; repeat < 2; repeat++) {
        const response = sent.open(respond(sent.bytes, request.protect(RESPONSE)));
        expect(response.payload.toString()).toBe('pong');
        numbers.push(response.number);
      }
    }
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('uses the number that was held for it, once', () => {
    const { protection, operator, drawn } = start();
    const sent = operator.protect();
    const request = requestOf(protection.open(parse(sent.bytes)));
    expect([request.hold(), request.hold(), drawn]).toEqual([true, true, [1]]);
    const numbers = [1, 2].map(() => sent.open(respond(sent.bytes, request.protect(RESPONSE))).number);
    expect(numbers).toEqual([1, 2]);
  });

  it('that could not be made does not leave its number for another one', () => {
    const { protection, operator } = start();
    const sent = operator.protect();
    const request = requestOf(protection.open(parse(sent.bytes)));
    request.hold();
    const twice = { ...RESPONSE, options: [{ number: OPTION.oscore, value: Buffer.alloc(0) }] };
    expect(() => request.protect(twice)).toThrow();
    expect(sent.open(respond(sent.bytes, request.protect(RESPONSE))).number).toBe(2);
  });

  it('is not made without a number', () => {
    const { device, protection, operator } = start({ count: 0 });
    const sent = operator.protect();
    const request = requestOf(protection.open(parse(sent.bytes)));
    expect([request.hold(), request.protect(RESPONSE)]).toEqual([false, undefined]);
    device.left = 1;
    expect(request.protect(RESPONSE)).toBeDefined();
  });

  it('can be made again for a request that was accepted before', () => {
    const { protection, operator } = start();
    const sent = operator.protect();
    protection.accept(requestOf(protection.open(parse(sent.bytes))));
    const again = requestOf(protection.reopen(parse(sent.bytes)));
    expect(sent.open(respond(sent.bytes, again.protect(RESPONSE))).code).toBe('2.05');
  });

  it('can be made after a restart, by what the journal has', () => {
    const { protection, operator } = start();
    const sent = operator.protect();
    const { origin, message } = requestOf(protection.open(parse(sent.bytes)));
    const next = start();
    const resumed = requestOf(next.protection.resume(JSON.parse(JSON.stringify(origin)), message));
    expect(resumed.caller.key).toBe(OPS);
    expect(sent.open(respond(sent.bytes, resumed.protect(RESPONSE))).payload.toString()).toBe('pong');
    next.device.keys = [OTHER];
    expect(next.protection.resume(origin, message)).toBeUndefined();
  });
});

describe('a protected event', () => {
  it('is a request of the device, with a number of the same counter', () => {
    const { protection, operator, drawn } = start();
    const event = protection.protectEvent('ops', { code: '0.02', options: [], payload: Buffer.from('door') });
    const parsed = parseProtectedRequest(event);
    if (!parsed.ok) throw new Error(parsed.reason);
    expect([parsed.request.kid.length, parsed.request.number]).toEqual([0, 1]);
    const opened = unprotectRequest(operator.context, parsed.request);
    expect(opened.ok && opened.message.payload.toString()).toBe('door');
    expect(drawn).toEqual([1]);
  });

  it('is not made without its key, nor without a number', () => {
    const { device, protection, drawn } = start({ count: 0 });
    const event = () => protection.protectEvent('ops', { code: '0.02', options: [], payload: Buffer.alloc(0) });
    expect(event).toThrow(expect.objectContaining({ code: 'numbers-unavailable' }));
    device.keys = [OTHER];
    device.left = 5;
    expect(event).toThrow(expect.objectContaining({ code: 'key-invalid' }));
    expect(drawn).toEqual([]);
  });
});

const withOption = (message: CoapMessage, option: Option): CoapMessage => ({
  ...message,
  options: [...message.options, option],
});
