import { describe, expect, it } from 'vitest';
import { createEventOpener, type OpenDatagram } from '../../../sender/security/events.js';
import { type KnownKey, keyIdOf } from '../../../sender/security/known-keys.js';
import type { SimNames } from '../../../sender/security/operator-key.js';
import { formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { OPTION, uintOption } from '../../../shared/coap/options.js';
import {
  deviceContext,
  deviceMasterSecret,
  operatorContext,
  type SharedKey,
} from '../../../shared/oscore/identities.js';
import { formatOscoreOption } from '../../../shared/oscore/option.js';
import { protectRequest } from '../../../shared/oscore/request.js';
import { protectResponse } from '../../../shared/oscore/response.js';
import { protectEvent } from '../../support/events.js';
import { flips } from '../../support/oscore.js';

const SID = `HS${'1'.repeat(32)}`;
const OTHER_SID = `HS${'2'.repeat(32)}`;

const sharedKey = (deviceId = '8988307000000000001', kid = 1, fleet = 7): SharedKey => ({
  masterSecret: deviceMasterSecret(Buffer.alloc(32, fleet), deviceId),
  deviceId,
  kid,
});

const knownKey = (shared: SharedKey, members: Partial<KnownKey> = {}): KnownKey => ({
  ...{ ...shared, id: keyIdOf(shared), sid: SID, context: operatorContext(shared), state: 'used' },
  ...{ allow: undefined, fleetKey: undefined, sendsKidContext: false },
  ...members,
});

/** An opener that knows these keys of {@link SID}, and takes each number for a new one. */
function makeOpener(...keys: readonly KnownKey[]) {
  const judged: [string, number, string][] = [];
  const asked: SimNames[] = [];
  const open: OpenDatagram = createEventOpener({
    keysOf(names) {
      asked.push(names);
      return names.sid === SID || names.uniqueName === 'gateway-1' ? keys : [];
    },
    judge(key, number, use) {
      judged.push([key.id, number, use]);
      return true;
    },
  });
  return { open: (bytes: Buffer, names: SimNames = { sid: SID }) => open(names, bytes, 'record'), judged, asked };
}

const KEY = sharedKey();
const EVENT = protectEvent(KEY, { number: 1000 });
const sealedFor = (reason: string) => ({ kind: 'sealed', authentic: false, reason });

describe('a protected event', () => {
  it('is opened by the key of its SIM, and its number is judged once', () => {
    const { open, judged } = makeOpener(knownKey(KEY));
    expect(open(EVENT)).toEqual({
      ...{ kind: 'event', authentic: true, fresh: true, deviceId: KEY.deviceId },
      ...{ payload: Buffer.from('{"event":"counted","data":1000}'), event: 'counted', data: 1000 },
    });
    expect(judged).toEqual([[keyIdOf(KEY), 1000, 'record']]);
  });

  it('is opened with the kid context, which is the device id', () => {
    const { open } = makeOpener(knownKey(KEY));
    expect(open(protectEvent(KEY, { number: 1, sendsKidContext: true }))).toMatchObject({ authentic: true });
  });

  it('has no name where its body is not an event in JSON', () => {
    const { open } = makeOpener(knownKey(KEY));
    for (const body of [Buffer.of(0, 255), Buffer.from('[1]'), Buffer.from('{"event":1}'), Buffer.alloc(0)]) {
      const opened = open(protectEvent(KEY, { number: 1, body }));
      expect(opened).toEqual({ kind: 'event', authentic: true, fresh: true, deviceId: KEY.deviceId, payload: body });
    }
  });

  it.each(['used', 'issued', 'former'] as const)('is opened by a key that is %s, whatever its kid', (state) => {
    const { open } = makeOpener(
      knownKey(sharedKey(KEY.deviceId, 2, 8)),
      knownKey({ ...KEY, kid: 9 }, { state }),
      knownKey({ ...KEY, kid: 1 }, { state: 'revoked' }),
    );
    expect(open(EVENT)).toMatchObject({ authentic: true });
  });

  it('under a secret all of whose keys were revoked is not opened', () => {
    const { open, judged } = makeOpener(knownKey(KEY, { state: 'revoked' }), knownKey(sharedKey(KEY.deviceId, 2, 8)));
    expect(open(EVENT)).toEqual(sealedFor('revoked'));
    expect(judged).toEqual([]);
  });

  it('is not authentic when it comes as that of another SIM', () => {
    const other = knownKey(sharedKey('8988307000000000002'));
    const { open, judged } = makeOpener(other);
    expect(open(EVENT)).toEqual(sealedFor('bad-tag'));
    expect(open(EVENT, { sid: OTHER_SID })).toEqual(sealedFor('no-key'));
    expect(judged).toEqual([]);
  });

  it('is looked up by the SID, where that is known, and not by a name that another SIM may have had', () => {
    const { open, asked } = makeOpener(knownKey(KEY));
    expect(open(EVENT, { sid: OTHER_SID, uniqueName: 'gateway-1' })).toEqual(sealedFor('no-key'));
    expect(open(EVENT, { iccid: KEY.deviceId, uniqueName: 'gateway-1' })).toEqual(sealedFor('no-key'));
    expect(open(EVENT, { uniqueName: 'gateway-1' })).toMatchObject({ authentic: true });
    expect(asked).toEqual([{ sid: OTHER_SID }, { iccid: KEY.deviceId }, { uniqueName: 'gateway-1' }]);
  });

  it('of which any bit was flipped is not opened, but for those that OSCORE does not protect', () => {
    const { open, judged } = makeOpener(knownKey(KEY));
    const opened = flips(EVENT).flatMap((flipped, bit) => (open(flipped).kind === 'event' ? [bit] : []));
    // The message ID. RFC 8613 §4.2: it is not protected; the number tells events apart.
    expect(opened).toEqual(Array.from({ length: 16 }, (_, index) => 16 + index));
    expect(judged.every(([, number]) => number === 1000)).toBe(true);
  });
});

describe('a protected message that is no event', () => {
  it.each([
    ['another method', { code: '0.01' }],
    ['another path', { path: ['relay', 'set'] }],
    ['a longer path', { path: ['event', 'more'] }],
    ['no path', { path: [] }],
    ['a confirmable type', { type: 'CON' }],
  ] as const)('because of %s is not reported as one', (_, setup) => {
    const { open, judged } = makeOpener(knownKey(KEY));
    expect(open(protectEvent(KEY, { number: 1, ...setup }))).toEqual(sealedFor('not-an-event'));
    expect(judged).toEqual([]);
  });

  it('as it was made by an operator, is not opened', () => {
    const parts = { code: '0.02', options: [], payload: Buffer.from('{}') };
    const { message } = protectRequest(operatorContext(KEY), 1, parts);
    const bytes = formatMessage({ type: 'NON', messageId: 1, token: Buffer.alloc(0), ...message });
    expect(makeOpener(knownKey(KEY)).open(bytes)).toEqual(sealedFor('no-key'));
  });

  it.each<[string, (message: ReturnType<typeof parseMessage>) => object]>([
    [
      'without a sequence number',
      ({ options }) => ({ options: withOption(options, formatOscoreOption({ kid: Buffer.alloc(0) })) }),
    ],
    [
      'without a kid',
      ({ options }) => ({ options: withOption(options, formatOscoreOption({ partialIv: Buffer.of(1) })) }),
    ],
    ['with an unknown form', ({ options }) => ({ options: withOption(options, Buffer.of(0xe0)) })],
    ['with an outer block', ({ options }) => ({ options: [...options, uintOption(OPTION.block1, 8)] })],
    ['that is too short', ({ payload }) => ({ payload: payload.subarray(0, 8) })],
    ['of an unknown class', () => ({ code: '1.02' })],
  ])('%s is malformed', (_, change) => {
    const message = parseMessage(EVENT);
    const bytes = formatMessage({ ...message, ...change(message) });
    expect(makeOpener(knownKey(KEY)).open(bytes)).toEqual(sealedFor('malformed'));
  });

  it('whose plaintext is no message is malformed', () => {
    const context = deviceContext(KEY);
    const { message, binding } = protectRequest(context, 1, { code: '0.02', options: [], payload: Buffer.alloc(0) });
    const { payload } = protectResponse(context, binding, 'request-nonce', {
      code: '2.05',
      options: [],
      payload: Buffer.alloc(0),
    });
    const bytes = formatMessage({ type: 'NON', messageId: 1, token: Buffer.alloc(0), ...message, payload });
    expect(makeOpener(knownKey(KEY)).open(bytes)).toEqual(sealedFor('malformed'));
  });

  it('but a response is told apart, as only its request opens it', () => {
    const { binding } = protectRequest(operatorContext(KEY), 5, {
      code: '0.01',
      options: [],
      payload: Buffer.alloc(0),
    });
    const message = protectResponse(deviceContext(KEY), binding, 6, {
      code: '2.05',
      options: [],
      payload: Buffer.from('x'),
    });
    const bytes = formatMessage({ type: 'NON', messageId: 1, token: Buffer.of(1), ...message });
    expect(makeOpener(knownKey(KEY)).open(bytes)).toEqual({ kind: 'response' });
  });
});

describe('a datagram without protection', () => {
  it.each(['{"event":"door"}', '#1 ok pong', 'P', '', '\u0000'])('(%j) tells whether its SIM has a key', (text) => {
    const { open } = makeOpener(knownKey(KEY, { state: 'revoked' }));
    expect(open(Buffer.from(text))).toEqual({ kind: 'unprotected', authentic: false, hasKey: true });
    expect(open(Buffer.from(text), { sid: OTHER_SID })).toMatchObject({ kind: 'unprotected', hasKey: false });
  });
});

const withOption = (options: ReturnType<typeof parseMessage>['options'], value: Buffer) =>
  options.map((option) => (option.number === OPTION.oscore ? { ...option, value } : option));
