import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { issueKey } from '../../../../sender/security/keys/device-keys.js';
import { addFleetKey, fleetKeys, newFleetSecret } from '../../../../sender/security/keys/fleet-keys.js';
import { rebind } from '../../../../sender/security/keys/rebind.js';
import { revokeFleetKey } from '../../../../sender/security/keys/revoke.js';
import { homeElsewhere, readInstallation } from '../../../../sender/security/store/home.js';
import { temporaryFolder } from '../../../support/files.js';
import { makeKeyStore, simOf } from '../../../support/keys.js';

const THERE = { machine: 'there', tag: 'f'.repeat(16) };

function setUp() {
  const made = makeKeyStore();
  const { store, keys, change } = made;
  const [gone, old, current] = [1, 2, 3].map((kid) => change(() => addFleetKey(store, newFleetSecret(), kid)));
  change(() => revokeFleetKey(store, gone?.id ?? ''));
  const { key } = change(() => issueKey(store, keys, simOf(1), {}));
  const path = join(temporaryFolder(), 'copy.keys');
  copyFileSync(made.path, path);
  return { copy: makeKeyStore(path), key, old, current };
}

describe('a copied file', () => {
  it('is made an installation of its own, with other kids, and keys of the original that it never uses', () => {
    const { copy, key, old, current } = setUp();
    expect(homeElsewhere(copy.store, THERE.machine)).toContain('another machine');
    const rebound = copy.change(() => rebind(copy.store, THERE));
    expect(rebound.sims).toBe(1);
    expect(rebound.fleetKeys.map(({ id }) => id)).toEqual([current?.id, old?.id]);
    expect(homeElsewhere(copy.store, THERE.machine)).toBeUndefined();
    expect(readInstallation(copy.store)).toMatchObject({ ...THERE, path: copy.path });
    const kids = fleetKeys(copy.store).map(({ kid }) => kid);
    expect(kids[0]).toBe(1);
    expect(kids.slice(1).every((kid) => kid > 3)).toBe(true);
    expect(new Set(kids).size).toBe(3);
    expect(copy.keys.byId(key.id)?.state).toBe('foreign');
  });

  it('may be given the kid of its current fleet key, unless that is taken', () => {
    const { copy, current } = setUp();
    for (const taken of [1, 2, 3]) {
      expect(() => copy.change(() => rebind(copy.store, THERE, taken))).toThrowError(
        expect.objectContaining({ code: 'bad-input' }),
      );
    }
    const { fleetKeys: rebound } = copy.change(() => rebind(copy.store, THERE, 77));
    expect(rebound.find(({ id }) => id === current?.id)?.kid).toBe(77);
  });
});
