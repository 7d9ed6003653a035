import { describe, expect, it } from 'vitest';
import {
  addFleetKey,
  chooseKid,
  currentFleetKey,
  fleetKeyIdOf,
  fleetKeys,
  knownKids,
  newFleetSecret,
} from '../../../../sender/security/keys/fleet-keys.js';
import { revokeFleetKey } from '../../../../sender/security/keys/revoke.js';
import { makeKeyStore } from '../../../support/keys.js';

const SECRET = Buffer.from(Array.from({ length: 32 }, (_, index) => index));

describe('a fleet key', () => {
  it('has an id that does not change from version to version', () => {
    expect(fleetKeyIdOf(SECRET)).toBe('23e4cabee914f3e1');
  });

  it('is current until another is added, and again when it is added again', () => {
    const { store } = makeKeyStore();
    expect(currentFleetKey(store)).toBeUndefined();
    const one = addFleetKey(store, SECRET, 3);
    const two = addFleetKey(store, newFleetSecret());
    expect(currentFleetKey(store)).toEqual(two);
    expect(addFleetKey(store, SECRET)).toEqual(one);
    expect(fleetKeys(store)).toEqual([one, { ...two, isCurrent: false }]);
    expect(() => addFleetKey(store, SECRET, 4)).toThrowError(expect.objectContaining({ code: 'bad-input' }));
  });

  it('is not added once it was revoked', () => {
    const { store } = makeKeyStore();
    const { id } = addFleetKey(store, SECRET, 3);
    revokeFleetKey(store, id);
    expect(fleetKeys(store)).toMatchObject([{ id, kid: 3, secret: undefined, isCurrent: false }]);
    expect(() => addFleetKey(store, SECRET)).toThrowError(expect.objectContaining({ code: 'bad-input' }));
  });

  it('that is damaged is not used', () => {
    const { store } = makeKeyStore();
    const { id } = addFleetKey(store, SECRET, 3);
    store.run('UPDATE fleet_keys SET secret = ?', [newFleetSecret()]);
    expect(() => fleetKeys(store)).toThrowError(
      expect.objectContaining({ code: 'keys-unusable', message: expect.stringContaining(id) }),
    );
  });
});

describe('a kid', () => {
  it('is one that is free, at random', () => {
    const free = [7, 100, 255];
    const taken = new Set(Array.from({ length: 255 }, (_, index) => index + 1).filter((kid) => !free.includes(kid)));
    const chosen = new Set(Array.from({ length: 200 }, () => chooseKid(taken)));
    expect([...chosen].sort((one, other) => one - other)).toEqual(free);
    expect(chooseKid(taken, 100)).toBe(100);
    for (const kid of free) taken.add(kid);
    expect(() => chooseKid(taken)).toThrowError(expect.objectContaining({ code: 'bad-input' }));
    expect(() => chooseKid(taken, 7)).toThrowError(expect.objectContaining({ code: 'bad-input' }));
  });

  it('is known of all keys, those of fleets and those of devices', () => {
    const { store } = makeKeyStore();
    addFleetKey(store, SECRET, 3);
    store.run("INSERT INTO devices (sid) VALUES ('HS')");
    store.run("INSERT INTO device_keys VALUES ('a', 'HS', 'd', NULL, NULL, 9, NULL, 0, 'foreign')");
    expect([...knownKids(store)].sort()).toEqual([3, 9]);
  });
});
