import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mayCall, parseKeyFile } from '../../../agent/security/key-file.js';
import { KEY } from '../../support/oscore.js';
import { keyFileText, startOperator, testKey } from '../../support/security.js';
import { SEED } from '../../support/seed.js';

const SECRET = KEY.masterSecret.toString('hex');
const GOOD = { device: KEY.deviceId, kid: 1, secret: SECRET };

/** Why a file with this content cannot be used. */
function refusalOf(content: unknown): string | undefined {
  try {
    parseKeyFile('a', typeof content === 'string' ? content : JSON.stringify(content));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : 'no error';
  }
}

/** Tells whether a text shows eight or more digits in a row of the secret. */
const shows = (text: string): boolean =>
  Array.from({ length: SECRET.length - 7 }, (_, at) => SECRET.slice(at, at + 8)).some((part) =>
    text.toLowerCase().includes(part),
  );

describe('a key file', () => {
  it('makes the key that its operator has', () => {
    const key = parseKeyFile('ops', keyFileText({ kid: 7, allow: ['ping'] }));
    expect(key).toMatchObject({ name: 'ops', kid: 7, deviceId: KEY.deviceId, allow: ['ping'] });
    const { context } = startOperator({ kid: 7 });
    expect(key.context.recipientKey.equals(context.senderKey)).toBe(true);
    expect(key.context.senderKey.equals(context.recipientKey)).toBe(true);
  });

  it('may have its secret in capitals, and spaces around', () => {
    const text = ` ${JSON.stringify({ ...GOOD, secret: SECRET.toUpperCase() }, null, 2)}\n`;
    expect(parseKeyFile('a', text).fingerprint).toBe(testKey().fingerprint);
  });

  it.each<[string, unknown, RegExp]>([
    ['is no JSON', `{"secret": ${SECRET}`, /^it is not JSON$/],
    ['is empty', '', /^it is not JSON$/],
    ['is no object', [SECRET], /^it is not a JSON object$/],
    ['has no device', { ...GOOD, device: undefined }, /^device: /],
    ['has an empty device', { ...GOOD, device: '' }, /^device: /],
    ['has a device with other letters', { ...GOOD, device: 'gerät' }, /^device: /],
    ['has a device that is too long', { ...GOOD, device: 'x'.repeat(300) }, /^device: /],
    ['has kid 0', { ...GOOD, kid: 0 }, /^kid: /],
    ['has kid 256', { ...GOOD, kid: 256 }, /^kid: /],
    ['has a kid between', { ...GOOD, kid: 1.5 }, /^kid: /],
    ['has a kid as text', { ...GOOD, kid: SECRET }, /^kid: /],
    ['has a short secret', { ...GOOD, secret: SECRET.slice(1) }, /^secret: has 32 hexadecimal digits$/],
    ['has a long secret', { ...GOOD, secret: `${SECRET}\n` }, /^secret: /],
    ['has a secret as a list', { ...GOOD, secret: [SECRET] }, /^secret: /],
    ['has a pattern that is none', { ...GOOD, allow: ['ping', `*${SECRET}`] }, /^allow\.1: /],
    ['allows all below nothing', { ...GOOD, allow: ['.*'] }, /^allow\.0: /],
    ['allows a command twice over', { ...GOOD, allow: ['relay.*.*'] }, /^allow\.0: /],
    ['allows too much', { ...GOOD, allow: Array(65).fill('ping') }, /^allow: /],
    ['has a member that is not known', { ...GOOD, [SECRET]: 1 }, /^it has a member that is not known$/],
    [
      'has a member for the prototype',
      `{"__proto__":{},${JSON.stringify(GOOD).slice(1)}`,
      /^it has a member that is not/,
    ],
    ['has several mistakes', { kid: SECRET, secret: 5 }, /^device: .*; kid: .*; secret: /],
  ])('that %s is refused, and nothing of it is shown', (_, content, message) => {
    const refusal = refusalOf(content) ?? '';
    expect(refusal).toMatch(message);
    expect(shows(refusal)).toBe(false);
  });

  it('is never shown by its refusal, whatever has happened to it', () => {
    const text = keyFileText({ allow: ['ping'] });
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(text.length), fc.string({ maxLength: 3 }), (from, length, inserted) => {
        expect(shows(refusalOf(text.slice(0, from) + inserted + text.slice(from + (length % 4))) ?? '')).toBe(false);
        expect(shows(refusalOf(text.slice(from)) ?? '')).toBe(false);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});

describe('a key', () => {
  it('shows no secret in JSON, nor where it is inspected', () => {
    const key = testKey();
    const { senderKey, recipientKey } = key.context;
    for (const text of [JSON.stringify(key), inspect(key, { depth: 9, showHidden: true })]) {
      expect(shows(text)).toBe(false);
      for (const each of [senderKey, recipientKey]) {
        const bytes = each.export();
        expect(text).not.toContain(bytes.toString('hex'));
        expect(text).not.toContain(bytes.toString('base64'));
        expect(text).not.toContain(bytes.join(','));
        expect(text).not.toContain(bytes.toString('hex').match(/../g)?.join(' '));
      }
    }
  });

  it('is told by its fingerprint from one with another secret, kid or device, and from none by its name or commands', () => {
    const fingerprintOf = (content: object) => parseKeyFile('a', JSON.stringify({ ...GOOD, ...content })).fingerprint;
    const all = [{}, { kid: 2 }, { device: '11' }, { device: '1', kid: 11 }, { secret: '0'.repeat(32) }].map(
      fingerprintOf,
    );
    expect(new Set(all).size).toBe(5);
    expect(fingerprintOf({ allow: [] })).toBe(fingerprintOf({}));
    expect(testKey({ name: 'b' }).fingerprint).toBe(fingerprintOf({}));
  });

  it.each<[allow: string[] | undefined, command: string, may: boolean]>([
    [undefined, 'anything', true],
    [[], 'ping', false],
    [['ping'], 'ping', true],
    [['ping'], 'Ping', false],
    [['ping'], 'ping.all', false],
    [['relay.*'], 'relay.set', true],
    [['relay.*'], 'relay.set.all', true],
    [['relay.*'], 'relay', false],
    [['relay.*'], 'relays.set', false],
    [['relay.set.*', 'ping'], 'relay.reset', false],
  ])('that allows %j may call %s: %s', (allow, command, may) => {
    expect(mayCall(testKey({ allow }), command)).toBe(may);
  });

  it('with the secret where the device id belongs is refused: the device id is shown', () => {
    expect(() => parseKeyFile('ops', JSON.stringify({ ...GOOD, device: SECRET }))).toThrow(/device: is the device id/);
  });
});
