import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDeviceId } from '../../../shared/oscore/identities.js';
import { allows, formatKeyFile, keyIdOf, parseKeyFile } from '../../../shared/oscore/key-file.js';
import { KEY } from '../../support/oscore.js';
import { SEED } from '../../support/seed.js';

const deviceId = fc
  .string({ minLength: 1, maxLength: 60 })
  .filter((text) => isDeviceId(text) && !/^[0-9a-f]{32,}$/i.test(text));

describe('a key file', () => {
  it('is read as it was written', () => {
    const key = fc.record({
      deviceId,
      kid: fc.integer({ min: 1, max: 255 }),
      masterSecret: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
      allow: fc.option(fc.array(fc.constantFrom('ping', 'relay.set', 'relay.*'), { maxLength: 64 }), {
        nil: undefined,
      }),
    });
    fc.assert(
      fc.property(key, (written) => {
        expect(parseKeyFile(formatKeyFile(written))).toEqual(written);
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('is the line that the documentation shows', () => {
    const secret = '7a8955af38f1302750447305ac662356';
    const allow = ['health', 'relay.*'];
    const key = { deviceId: '8988307000000001234', kid: 1, masterSecret: Buffer.from(secret, 'hex'), allow };
    expect(formatKeyFile(key)).toBe(
      `{"device":"8988307000000001234","kid":1,"secret":"${secret}","allow":["health","relay.*"]}\n`,
    );
    expect(formatKeyFile({ ...key, allow: undefined })).not.toContain('allow');
  });

  it('has a key whose id both ends know it by', () => {
    expect(keyIdOf(KEY)).toMatch(/^[0-9a-f]{16}$/);
    expect(keyIdOf({ ...KEY, kid: 2 })).not.toBe(keyIdOf(KEY));
  });

  it('allows what it lists, and everything without a list', () => {
    expect(allows(undefined, 'ping')).toBe(true);
    expect(allows(['relay.*'], 'relay.set')).toBe(true);
    expect(allows(['relay.*'], 'relay')).toBe(false);
    expect(allows([], 'ping')).toBe(false);
  });
});
