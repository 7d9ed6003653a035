import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { issueKey } from '../../../sender/security/keys/device-keys.js';
import { addFleetKey, newFleetSecret } from '../../../sender/security/keys/fleet-keys.js';
import { rebind } from '../../../sender/security/keys/rebind.js';
import { revokeSims } from '../../../sender/security/keys/revoke.js';
import { openSecurity, type SimLookup } from '../../../sender/security/security.js';
import { temporaryFolder } from '../../support/files.js';
import { INSTALLATION, makeKeyStore, simOf } from '../../support/keys.js';
import { rejection } from '../support.js';

const ONE = simOf(1);

function setUp() {
  const folder = temporaryFolder();
  const path = join(folder, 'test.keys');
  const security = openSecurity({ profile: join(folder, 'test.yaml'), env: {} });
  onTestFinished(security.close);
  const asked: string[] = [];
  const find: SimLookup = {
    async sim(name) {
      asked.push(name);
      return { renamed: ONE, other: simOf(2) }[name];
    },
  };
  function makeKey() {
    const made = makeKeyStore(path);
    const { store, keys, change } = made;
    change(() => addFleetKey(store, newFleetSecret()));
    return { ...made, key: change(() => issueKey(store, keys, ONE, {})).key };
  }
  return { security, find, asked, makeKey };
}

describe('the key of a SIM', () => {
  it('is none without a file, and found once there is one', async () => {
    const { security, find, asked, makeKey } = setUp();
    expect(await security.keyFor(ONE.sid, find)).toEqual({ sim: ONE.sid, target: ONE.sid, key: undefined });
    expect(await rejection(security.draw())).toMatchObject({ code: 'keys-unusable' });
    const { key } = makeKey();
    expect(await security.keyFor(ONE.sid, find)).toMatchObject({ key: { id: key.id, kid: key.kid } });
    expect(await security.keyFor('gateway-1', {})).toMatchObject({ sim: 'gateway-1', key: { id: key.id } });
    expect(await security.keyFor(ONE.iccid ?? '', {})).toMatchObject({ sim: ONE.sid, key: { id: key.id } });
    expect(security.keyById(ONE.iccid ?? '', key.id)).toMatchObject({ sim: ONE.sid, target: ONE.sid });
    expect(asked).toEqual([]);
  });

  it('is found through the API by a name that the file does not know, and what is sent goes to its SID', async () => {
    const { security, find, asked, makeKey } = setUp();
    const { key } = makeKey();
    for (let count = 0; count < 2; count++) {
      expect(await security.keyFor('renamed', find)).toMatchObject({
        sim: 'renamed',
        target: ONE.sid,
        key: { id: key.id },
      });
      expect(await security.keyFor('other', find)).toEqual({ sim: 'other', target: simOf(2).sid, key: undefined });
      expect(await security.keyFor(simOf(2).sid, find)).toMatchObject({ target: simOf(2).sid, key: undefined });
    }
    // Each time, as names move from SIM to SIM.
    expect(asked).toEqual(['renamed', 'other', 'renamed', 'other']);
  });

  it('is not taken for none where the API knows no such SIM, or cannot be asked', async () => {
    const { security, find, makeKey } = setUp();
    makeKey();
    expect(await rejection(security.keyFor('nobody', find))).toMatchObject({ code: 'bad-input' });
    expect(await rejection(security.keyFor('renamed', {}))).toMatchObject({ code: 'bad-input' });
  });

  it('is not taken for none where SUPERSIM_KEYS names a file that is not there', async () => {
    const security = openSecurity({ env: { SUPERSIM_KEYS: join(temporaryFolder(), 'none.keys') } });
    expect(await rejection(security.keyFor(ONE.sid, {}))).toMatchObject({ code: 'keys-unusable' });
    expect(security.check).toThrow('SUPERSIM_KEYS');
  });

  it('is refused once it was revoked: nothing goes unprotected', async () => {
    const { security, find, makeKey } = setUp();
    const { store, keys, change, key } = makeKey();
    change(() => revokeSims(store, keys, [ONE.sid]));
    expect(await rejection(security.keyFor(ONE.sid, find))).toMatchObject({
      code: 'key-revoked',
      message: expect.stringContaining('revoked'),
    });
    expect(security.keyById(ONE.sid, key.id)).toBeUndefined();
  });

  it('of the installation that the file was copied from protects nothing, nor does it go on with a request', async () => {
    const { security, find, makeKey } = setUp();
    const { store, change, key } = makeKey();
    expect(security.keyById(ONE.sid, key.id)).toMatchObject({ sim: ONE.sid, key: { id: key.id } });
    change(() => rebind(store, INSTALLATION));
    expect(await rejection(security.keyFor(ONE.sid, find))).toMatchObject({
      code: 'key-revoked',
      message: expect.stringContaining('copied'),
      remedy: expect.stringContaining('keys device'),
    });
    expect(security.keyById(ONE.sid, key.id)).toBeUndefined();
  });
});
