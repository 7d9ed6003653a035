import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueKey } from '../../../../sender/security/keys/device-keys.js';
import { addFleetKey, newFleetSecret } from '../../../../sender/security/keys/fleet-keys.js';
import { keysPath, openKeyStore } from '../../../../sender/security/store/key-store.js';
import { temporaryFolder, writeFile } from '../../../support/files.js';
import { buildKeysProgram, makeKeyStore, simOf, startKeys } from '../../../support/keys.js';

let remove: () => void;
beforeAll(async () => {
  remove = await buildKeysProgram();
});
afterAll(() => remove());

const unusable = (path: string) =>
  expect.objectContaining({ code: 'keys-unusable', message: expect.stringContaining(path) });

describe('the path of the keys', () => {
  it.each([
    [{ profile: '/a/work.yaml' }, {}, '/a/work.keys'],
    [{ profile: '/a/work' }, {}, '/a/work.keys'],
    [{}, { HOME: '/home/me' }, '/home/me/.config/supersim/profile.keys'],
    [{}, { XDG_CONFIG_HOME: '/xdg' }, '/xdg/supersim/profile.keys'],
    [{ profile: '/a/work.yaml' }, { SUPERSIM_KEYS: '/b/keys' }, '/b/keys'],
    [{ profile: '/a/work.yaml' }, { SUPERSIM_KEYS: '' }, '/a/work.keys'],
  ])('with %j and %j is %s', (options, env, path) => {
    expect(keysPath(options, env)).toBe(path);
  });
});

describe('the file with keys', () => {
  it('is not there where there is none', () => {
    expect(openKeyStore(join(temporaryFolder(), 'test.keys'))).toBeUndefined();
  });

  it.each([0o640, 0o604, 0o644, 0o700])('is refused with the mode %i', (mode) => {
    const { path } = makeKeyStore();
    chmodSync(path, mode);
    expect(() => openKeyStore(path)).toThrowError(expect.objectContaining({ code: 'profile-unsafe' }));
  });

  it('is refused where it is a folder', () => {
    const path = join(temporaryFolder(), 'folder');
    mkdirSync(path);
    expect(() => openKeyStore(path)).toThrowError(expect.objectContaining({ code: 'profile-unsafe' }));
  });

  it.each([
    ['empty', ''],
    ['text', 'clientId: me\n'.repeat(400)],
    ['zeros', Buffer.alloc(8192)],
  ])('is refused where it is %s', (_, content) => {
    const path = writeFile(temporaryFolder(), 'test.keys', content);
    expect(() => openKeyStore(path)).toThrowError(unusable(path));
    expect(readFileSync(path)).toEqual(Buffer.from(content));
  });

  it('is refused where it is of another version', () => {
    const { path, store } = makeKeyStore();
    store.run('UPDATE installation SET format = 2');
    expect(() => openKeyStore(path)).toThrowError(unusable(path));
  });

  it('never shows an error of SQLite as it is', () => {
    const { path, store } = makeKeyStore();
    expect(() => store.run('INSERT INTO device_keys (id) VALUES (1)')).toThrowError(unusable(path));
    expect(() => store.get('SELECT nothing')).toThrowError(unusable(path));
    expect(() => store.all('SELECT nothing')).toThrowError(unusable(path));
    expect(() => store.transaction(() => store.run('INSERT INTO nothing VALUES (1)'))).toThrowError(unusable(path));
  });

  it('writes nothing of a transaction that fails', () => {
    const { store, change } = makeKeyStore();
    expect(() =>
      change(() => {
        addFleetKey(store, newFleetSecret());
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(store.get('SELECT 1 FROM fleet_keys')).toBeUndefined();
  });

  it('is no longer written once another file has its name', () => {
    const { path, change } = makeKeyStore();
    copyFileSync(path, `${path}.old`);
    renameSync(`${path}.old`, path);
    expect(() => change(() => 1)).toThrowError(unusable(path));
  });

  it('that is damaged or cut is refused, or it is used: it never ends the process', { timeout: 60_000 }, async () => {
    const { path, store, keys, change } = makeKeyStore();
    const secret = newFleetSecret();
    change(() => addFleetKey(store, secret));
    for (let number = 1; number <= 3; number++) {
      change(() => issueKey(store, keys, simOf(number), { allow: ['ping', 'relay.*'] }));
    }
    store.close();
    const copy = join(temporaryFolder(), 'copy.keys');
    writeFileSync(copy, readFileSync(path), { mode: 0o600 });
    const running = startKeys(['damage'], { SUPERSIM_KEYS: copy });
    expect(await running.ended, running.output()).toBe(0);
    expect(running.output()).not.toContain(secret.toString('hex'));
    const seen: unknown = JSON.parse(running.output());
    expect(Object.keys(Object(seen)).sort()).toEqual(['keys-copied', 'keys-unusable']);
  });
});
