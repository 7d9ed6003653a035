import { describe, expect, it } from 'vitest';
import { importKey, issueKey, useKey } from '../../../../sender/security/keys/device-keys.js';
import { addFleetKey, newFleetSecret } from '../../../../sender/security/keys/fleet-keys.js';
import { rebind } from '../../../../sender/security/keys/rebind.js';
import { revokeSims } from '../../../../sender/security/keys/revoke.js';
import type { Sim } from '../../../../sender/security/keys/sims.js';
import { deviceMasterSecret } from '../../../../shared/oscore/identities.js';
import { INSTALLATION, makeKeyStore, simOf } from '../../../support/keys.js';

const [ONE, TWO] = [simOf(1), simOf(2)];

interface Issue {
  readonly sim?: Sim;
  readonly deviceId?: string;
  readonly allow?: readonly string[];
}

function setUp() {
  const made = makeKeyStore();
  const { store, keys, change } = made;
  return {
    ...made,
    rotate: (kid?: number) => change(() => addFleetKey(store, newFleetSecret(), kid)),
    issue: ({ sim = ONE, ...options }: Issue = {}) => change(() => issueKey(store, keys, sim, options)),
    take: (kid: number, { sim = ONE, deviceId = ONE.iccid, secret = 7 } = {}) =>
      change(() =>
        importKey(
          store,
          keys,
          sim,
          { deviceId, kid, masterSecret: Buffer.alloc(16, secret), allow: undefined },
          kid === 99,
        ),
      ),
    use: (id: string) => change(() => useKey(store, id)),
    states: (sim: Sim = ONE) => keys.ofSim({ sid: sim.sid }).map(({ state }) => state),
  };
}

const badInput = (message: RegExp) =>
  expect.objectContaining({ code: 'bad-input', message: expect.stringMatching(message) });

describe('the key of a device', () => {
  it('is derived from the current fleet key and the ICCID, and used at once', () => {
    const { rotate, issue, store, change } = setUp();
    rotate(5);
    const secret = newFleetSecret();
    change(() => addFleetKey(store, secret, 7));
    const { key, until } = issue({ allow: ['ping'] });
    expect(key).toMatchObject({ deviceId: ONE.iccid, kid: 7, sid: ONE.sid, state: 'used', allow: ['ping'] });
    expect(key.masterSecret).toEqual(deviceMasterSecret(secret, ONE.iccid));
    expect(until).toBeUndefined();
  });

  it('is not made without a fleet key, nor without a device id', () => {
    const { rotate, issue } = setUp();
    expect(() => issue()).toThrowError(badInput(/no fleet key/));
    rotate();
    expect(() => issue({ sim: { sid: ONE.sid } })).toThrowError(badInput(/--device/));
    expect(issue({ sim: { sid: ONE.sid }, deviceId: 'pump 7' }).key.deviceId).toBe('pump 7');
  });

  it('is the same again, under the device id that it was made for; what it allows is changed where that is given', () => {
    const { rotate, issue, states } = setUp();
    rotate();
    const { key } = issue({ deviceId: 'pump', allow: ['ping'] });
    expect(issue().key).toEqual(key);
    expect(issue({ allow: ['relay.*'] }).key).toEqual({ ...key, allow: ['relay.*'] });
    expect(issue({ deviceId: 'pump' }).key.allow).toEqual(['relay.*']);
    expect(states()).toEqual(['used']);
  });

  it('of another fleet key waits until it is used, and then replaces the one before', () => {
    const { rotate, issue, use, states } = setUp();
    rotate();
    const old = issue().key;
    rotate();
    const { key, until } = issue();
    expect([key.state, until]).toEqual(['issued', old.id]);
    expect(states()).toEqual(['used', 'issued']);
    expect(issue()).toEqual({ key, until });
    use(key.id);
    expect(states()).toEqual(['former', 'used']);
    use(key.id);
    expect(states()).toEqual(['former', 'used']);
    expect(issue().key.state).toBe('used');
    expect(() => use(old.id)).toThrowError(expect.objectContaining({ code: 'key-revoked' }));
  });

  it('is not made again from the fleet key of one that was revoked', () => {
    const { rotate, issue, store, keys, change, states } = setUp();
    rotate();
    issue();
    change(() => revokeSims(store, keys, [ONE.sid]));
    expect(() => issue()).toThrowError(badInput(/revoked/));
    expect(() => issue({ sim: TWO, deviceId: ONE.iccid })).toThrowError(badInput(/revoked/));
    expect(states(TWO)).toEqual([]);
    expect(issue({ deviceId: 'other' }).key.state).toBe('used');
    rotate();
    expect(issue({ deviceId: ONE.iccid }).key.state).toBe('issued');
  });

  it('is not made with a kid that another key of the device has', () => {
    const { rotate, issue, take } = setUp();
    take(9);
    expect(() => rotate(9)).toThrowError(badInput(/kid 9/));
    rotate(10);
    issue();
    expect(() => take(10, { secret: 8 })).toThrowError(badInput(/kid 10/));
    expect(take(10, { secret: 8, sim: TWO, deviceId: TWO.iccid }).key.state).toBe('used');
  });

  it('is not taken from the SIM that it is recorded for', () => {
    const { rotate, issue, states } = setUp();
    rotate();
    issue();
    expect(() => issue({ sim: TWO, deviceId: ONE.iccid })).toThrowError(badInput(new RegExp(ONE.sid)));
    expect(states()).toEqual(['used']);
  });

  it('is the ninth of its device only when another was revoked', () => {
    const { take, store, keys, change } = setUp();
    for (let kid = 1; kid <= 8; kid++) take(kid, { secret: kid });
    expect(() => take(9, { secret: 9 })).toThrowError(badInput(/8 keys/));
    expect(take(8, { secret: 8 }).key.state).toBe('issued');
    change(() => revokeSims(store, keys, [ONE.sid]));
    expect(take(9, { secret: 9 }).key.state).toBe('used');
  });

  it('from a file has its own secret, and the kid context where that is wanted', () => {
    const { take } = setUp();
    expect(take(99).key).toMatchObject({ kid: 99, sendsKidContext: true, fleetKey: undefined, state: 'used' });
    expect(take(98).key).toMatchObject({ kid: 98, sendsKidContext: false, state: 'issued' });
  });

  it('from a file is not taken once it was revoked, under whatever kid', () => {
    const { take, store, keys, change } = setUp();
    take(1);
    change(() => revokeSims(store, keys, [ONE.sid]));
    expect(() => take(1)).toThrowError(badInput(/revoked/));
    expect(() => take(2)).toThrowError(badInput(/revoked/));
    expect(take(2, { secret: 3 }).key.state).toBe('used');
  });

  it('of the installation that the file was copied from is not used; a new one is made', () => {
    const { rotate, issue, take, store, change, states } = setUp();
    const { kid } = rotate();
    issue();
    take(99, { sim: TWO, deviceId: TWO.iccid });
    change(() => rebind(store, INSTALLATION));
    expect(() => take(99, { sim: TWO, deviceId: TWO.iccid })).toThrowError(badInput(/copied/));
    const { key, until } = issue();
    expect(key.kid).not.toBe(kid);
    expect([key.state, until]).toEqual(['used', undefined]);
    expect(states()).toEqual(['foreign', 'used']);
    expect(states(TWO)).toEqual(['foreign']);
  });
});
