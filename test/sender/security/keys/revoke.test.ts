import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { issueKey, useKey } from '../../../../sender/security/keys/device-keys.js';
import { addFleetKey, newFleetSecret } from '../../../../sender/security/keys/fleet-keys.js';
import { revokeFleetKey, revokeSims, simsWith } from '../../../../sender/security/keys/revoke.js';
import { makeKeyStore, simOf } from '../../../support/keys.js';

function setUp() {
  const made = makeKeyStore();
  const { store, keys, change } = made;
  const secret = newFleetSecret();
  const { id } = change(() => addFleetKey(store, secret));
  const issue = (number: number) => change(() => issueKey(store, keys, simOf(number), {})).key;
  return { ...made, secret, id, issue };
}

describe('revoking', () => {
  it('ends all keys of a SIM, and of no other', () => {
    const { store, keys, change, issue } = setUp();
    const [one] = [issue(1), issue(2)];
    expect(change(() => revokeSims(store, keys, [simOf(1).sid])).map(({ id }) => id)).toEqual([one.id]);
    expect(change(() => revokeSims(store, keys, [simOf(1).sid]))).toEqual([]);
    expect(keys.ofSim(simOf(1)).map(({ state }) => state)).toEqual(['revoked']);
    expect(keys.ofSim(simOf(2)).map(({ state }) => state)).toEqual(['used']);
  });

  it('of a fleet key is refused while SIMs use it, or have been given its keys', () => {
    const { store, keys, change, id, issue } = setUp();
    const refused = (count: string) =>
      expect.objectContaining({ code: 'bad-input', message: expect.stringContaining(count) });
    issue(1);
    issue(2);
    expect(simsWith(store, id)).toBe(2);
    expect(() => revokeFleetKey(store, id)).toThrowError(refused('2 SIMs'));
    change(() => revokeSims(store, keys, [simOf(1).sid]));
    const next = change(() => addFleetKey(store, newFleetSecret()));
    const { id: key } = issue(2);
    expect(() => revokeFleetKey(store, id)).toThrowError(refused('1 SIM '));
    expect(() => revokeFleetKey(store, next.id)).toThrowError(refused('1 SIM '));
    change(() => useKey(store, key));
    change(() => revokeFleetKey(store, id));
    expect(keys.ofSim(simOf(2)).map(({ state, masterSecret }) => [state, masterSecret === undefined])).toEqual([
      ['revoked', true],
      ['used', false],
    ]);
    expect(() => revokeFleetKey(store, 'none')).toThrowError(refused('none'));
  });

  it('of a fleet key leaves nothing of it in the file', () => {
    const { path, store, change, secret, id } = setUp();
    expect(readFileSync(path).includes(secret)).toBe(true);
    change(() => revokeFleetKey(store, id));
    expect(readFileSync(path).includes(secret)).toBe(false);
    expect(readFileSync(path).includes(secret.subarray(8))).toBe(false);
  });
});
