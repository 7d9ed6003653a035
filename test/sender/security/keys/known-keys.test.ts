import { describe, expect, it } from 'vitest';
import { issueKey } from '../../../../sender/security/keys/device-keys.js';
import { addFleetKey, newFleetSecret } from '../../../../sender/security/keys/fleet-keys.js';
import { makeKeyStore, simOf } from '../../../support/keys.js';

function setUp() {
  const made = makeKeyStore();
  const { store, keys, change } = made;
  const secret = newFleetSecret();
  change(() => addFleetKey(store, secret, 5));
  return { ...made, secret, key: change(() => issueKey(store, keys, simOf(1), { allow: ['ping'] })).key };
}

describe('a key in the file', () => {
  it('is read by any name of its SIM, by its device and by its id', () => {
    const { keys, key } = setUp();
    const { sid, uniqueName, iccid } = simOf(1);
    for (const found of [
      keys.ofSim({ sid }),
      keys.ofSim({ uniqueName }),
      keys.ofSim({ iccid }),
      keys.ofDevice(iccid),
    ]) {
      expect(found).toEqual([key]);
    }
    expect(keys.byId(key.id)).toEqual(key);
    expect(keys.isEmpty).toBe(false);
  });

  it.each([
    ['another secret', "UPDATE device_keys SET secret = x'000102030405060708090a0b0c0d0e0f'"],
    ['a secret too short', "UPDATE device_keys SET secret = x'00'"],
    ['another device', "UPDATE device_keys SET device_id = 'other'"],
    ['a device id that is none', "UPDATE device_keys SET device_id = x'ff00'"],
    ['another kid', 'UPDATE device_keys SET kid = 6'],
    ['a kid that is none', "UPDATE device_keys SET kid = 'x'"],
    ['a fleet key that is not there', 'UPDATE device_keys SET fleet_key = NULL'],
    ['a list that is no JSON', "UPDATE device_keys SET allow = '[ping'"],
    ['a list of other things', "UPDATE device_keys SET allow = '[1]'"],
    ['a flag that is none', 'UPDATE device_keys SET sends_kid_context = 2'],
    ['a state that is none', "UPDATE device_keys SET state = x'ff'"],
  ])('with %s is refused, and nothing of it is shown', (_, sql) => {
    const { path, store, keys, key, secret } = setUp();
    store.run(sql);
    let thrown: unknown;
    try {
      keys.ofSim(simOf(1));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'keys-unusable', message: expect.stringContaining(path) });
    for (const hidden of [secret, key.masterSecret]) expect(String(thrown)).not.toContain(hidden.toString('hex'));
  });
});
