import { existsSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openOrCreateKeyStore } from '../../../../sender/security/store/create-key-store.js';
import { readInstallation } from '../../../../sender/security/store/home.js';
import { openKeyStore } from '../../../../sender/security/store/key-store.js';
import { temporaryFolder, writeFile } from '../../../support/files.js';
import { buildKeysProgram, INSTALLATION, makeKeyStore, startKeys } from '../../../support/keys.js';

let remove: () => void;
beforeAll(async () => {
  remove = await buildKeysProgram();
});
afterAll(() => remove());

describe('a new file with keys', () => {
  it('is for its owner alone, and so is its folder', () => {
    const path = join(temporaryFolder(), 'a', 'b', 'profile.keys');
    makeKeyStore(path);
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    for (const folder of [join(path, '..'), join(path, '../../..')]) expect(statSync(folder).mode & 0o7777).toBe(0o700);
    expect(readdirSync(join(path, '..')).filter((name) => name.includes('.new'))).toEqual([]);
  });

  it('knows its machine, and its path without symbolic links', () => {
    const folder = temporaryFolder();
    const link = join(temporaryFolder(), 'link');
    symlinkSync(folder, link);
    const { store } = makeKeyStore(join(link, 'test.keys'));
    expect(readInstallation(store)).toEqual({ ...INSTALLATION, path: join(folder, 'test.keys'), last: 0 });
  });

  it('is not made where there is one', () => {
    const { path } = makeKeyStore();
    const again = openOrCreateKeyStore(path, () => ({ machine: 'other', tag: 'f'.repeat(16) }));
    expect(readInstallation(again)).toMatchObject(INSTALLATION);
    again.close();
  });

  it('is not made where its folder cannot be', () => {
    const path = join(writeFile(temporaryFolder(), 'file', ''), 'test.keys');
    expect(() => openOrCreateKeyStore(path, () => INSTALLATION)).toThrowError(
      expect.objectContaining({ code: 'keys-unusable', message: expect.stringContaining(path) }),
    );
  });

  it('is whole or not there, wherever in its creation the process is killed', { timeout: 60_000 }, async () => {
    const ends: unknown[] = [];
    for (let step = 1; ends.at(-1) !== 0; step++) {
      expect(step).toBeLessThan(30);
      const path = join(temporaryFolder(), 'folder', 'test.keys');
      const env = { SUPERSIM_KEYS: path, SUPERSIM_MACHINE_ID: 'test', DIE_AT: `${step}` };
      ends.push(await startKeys(['keys', 'new'], env).ended);
      const left = openKeyStore(path);
      expect(left === undefined).toBe(!existsSync(path));
      left?.close();
      openOrCreateKeyStore(path, () => INSTALLATION).close();
    }
    expect(ends.length).toBeGreaterThan(5);
    expect(new Set(ends)).toEqual(new Set(['SIGKILL', 0]));
  });
});
