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
  const path = join(temporaryFolder(), 'test.keys');
  const security = openSecurity({ env: { SUPERSIM_KEYS: path } });
  onTestFinished(security.close);
  const asked: string[] = [];
  const find: SimLookup = {
    async sim(name) {
      asked.push(name);
      return name === 'renamed' ? ONE : undefined;
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
    expect(await security.keyFor(ONE.sid, find)).toBeUndefined();
    expect(await rejection(security.draw())).toMatchObject({ code: 'keys-unusable' });
    const { key } = makeKey();
    expect(await security.keyFor(ONE.sid, find)).toMatchObject({ id: key.id, kid: key.kid });
    expect(await security.keyFor('gateway-1', {})).toMatchObject({ id: key.id });
    expect(asked).toEqual([]);
  });

  it('is found through the API by a name that the file does not know, which is asked about once', async () => {
    const { security, find, asked, makeKey } = setUp();
    const { key } = makeKey();
    for (let count = 0; count < 2; count++) {
      expect(await security.keyFor('renamed', find)).toMatchObject({ id: key.id });
      expect(await security.keyFor('other', find)).toBeUndefined();
      expect(await security.keyFor(simOf(2).sid, find)).toBeUndefined();
    }
    expect(asked).toEqual(['renamed', 'other']);
  });

  it('is refused once it was revoked: nothing goes unprotected', async () => {
    const { security, find, makeKey } = setUp();
    const { store, keys, change, key } = makeKey();
    change(() => revokeSims(store, keys, [ONE.sid]));
    expect(await rejection(security.keyFor(ONE.sid, find))).toMatchObject({
      code: 'key-revoked',
      message: expect.stringContaining('revoked'),
    });
    expect(security.keyById(key.id)).toBeUndefined();
  });

  it('of the installation that the file was copied from protects nothing, nor does it go on with a request', async () => {
    const { security, find, makeKey } = setUp();
    const { store, change, key } = makeKey();
    expect(security.keyById(key.id)).toMatchObject({ id: key.id });
    change(() => rebind(store, INSTALLATION));
    expect(await rejection(security.keyFor(ONE.sid, find))).toMatchObject({
      code: 'key-revoked',
      message: expect.stringContaining('copied'),
      remedy: expect.stringContaining('keys device'),
    });
    expect(security.keyById(key.id)).toBeUndefined();
  });
});
