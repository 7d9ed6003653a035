import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultKeyFolder, loadKeys, MAX_KEYS } from '../../../agent/security/key-folder.js';
import { deviceMasterSecret } from '../../../shared/oscore/identities.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { asNobody } from '../../support/nobody.js';
import { KEY } from '../../support/oscore.js';
import { keyFileText } from '../../support/security.js';

/** A folder of keys; each has the kid that is given. */
function folderWith(keys: Readonly<Record<string, number>>): string {
  const folder = temporaryFolder();
  for (const [name, kid] of Object.entries(keys)) writeFile(folder, `${name}.json`, keyFileText({ kid }), 0o640);
  return folder;
}

/** The names of the keys that are loaded, and the codes of the problems. */
async function load(...folders: string[]) {
  const { keys, problems } = await loadKeys(folders.map((path) => ({ path, mayBeMissing: true, isShared: false })));
  return {
    keys: keys.map(({ name }) => name),
    problems: problems.map(({ code }) => code),
    texts: problems.map(({ message }) => message),
  };
}

const fine = (...keys: string[]) => ({ keys, problems: [], texts: [] });

describe('the folder of the keys', () => {
  it.each<[NodeJS.ProcessEnv, string]>([
    [{}, '/etc/supersim-agent/keys'],
    [{ CONFIGURATION_DIRECTORY: '' }, '/etc/supersim-agent/keys'],
    [{ CONFIGURATION_DIRECTORY: '/etc/a' }, '/etc/a/keys'],
    [{ CONFIGURATION_DIRECTORY: '/etc/a:/etc/b' }, '/etc/a/keys'],
  ])('with %j is %s', (environment, folder) => {
    expect(defaultKeyFolder(environment)).toBe(folder);
  });

  it('that is missing has no keys, nor has an empty one', async () => {
    expect(await load('/nonexistent/keys', temporaryFolder())).toEqual(fine());
  });

  it('has the keys of its files that end in .json, in the order of their names', async () => {
    const folder = folderWith({ b: 2, a: 1, 'c.d': 3 });
    for (const name of ['.gitkeep', '.a.json.swp']) writeFile(folder, name, 'no key', 0o666);
    expect(await load(folder)).toEqual(fine('a', 'b', 'c.d'));
  });

  it('that must be there and is missing is a problem, and so is a file in it whose name is not that of a key', async () => {
    const missing = await loadKeys([{ path: '/nonexistent/keys', mayBeMissing: false, isShared: false }]);
    expect(missing.problems).toMatchObject([{ code: 'key-invalid', message: expect.stringContaining('ENOENT') }]);
    const folder = folderWith({ a: 1 });
    writeFile(folder, 'b.key', keyFileText({ kid: 2 }));
    const place = { path: folder, mayBeMissing: false };
    const own = await loadKeys([{ ...place, isShared: false }]);
    expect([own.keys.length, own.problems.map(({ message }) => message.slice(folder.length))]).toEqual([
      1,
      ['/b.key: the name of a key file ends in .json, and does not begin with a dot'],
    ]);
    // Credentials may be of any kind.
    expect((await loadKeys([{ ...place, isShared: true }])).problems).toEqual([]);
  });

  it.each(['.json', '.owner.json', 'owner.json~', 'owner'])(
    'with the file %s as its only one has a problem',
    async (name) => {
      const folder = temporaryFolder();
      writeFile(folder, name, keyFileText());
      expect(await load(folder)).toMatchObject({ keys: [], problems: ['key-invalid'] });
    },
  );

  it('that is a symbolic link which leads nowhere is a problem', async () => {
    const link = join(temporaryFolder(), 'keys');
    symlinkSync('/nonexistent/keys', link);
    expect(await load(link)).toMatchObject({ keys: [], problems: ['key-invalid'] });
  });

  it('comes before the next one', async () => {
    const { keys, problems } = await load(folderWith({ a: 1 }), folderWith({ a: 2, b: 1, c: 3 }));
    expect([keys, problems]).toEqual([
      ['a', 'c'],
      ['key-invalid', 'key-invalid'],
    ]);
  });

  it('with two keys of the same kid has the first of them', async () => {
    const folder = folderWith({ a: 5, b: 6 });
    writeFile(folder, 'c.json', keyFileText({ kid: 5, masterSecret: deviceMasterSecret(Buffer.alloc(32), '1') }));
    const { keys, problems, texts } = await load(folder);
    expect([keys, problems]).toEqual([['a', 'b'], ['key-invalid']]);
    expect(texts[0]).toContain('c.json: the key a has the same kid');
  });

  it('has as many keys as a device may have', async () => {
    const names = Object.fromEntries(Array.from({ length: MAX_KEYS + 1 }, (_, index) => [`k${index}`, index + 1]));
    const { keys, problems, texts } = await load(folderWith(names));
    expect([keys.length, problems, keys.includes('k8')]).toEqual([MAX_KEYS, ['key-invalid'], false]);
    expect(texts[0]).toContain('k8.json');
  });

  it('with a great many files is not read in full', async () => {
    const folder = temporaryFolder();
    for (let file = 0; file < 100; file++) writeFile(folder, `${file}.json`, 'no key');
    const { problems } = await load(folder);
    expect(problems.length).toBe(65);
  });

  it.each<[string, number]>([
    ['the group', 0o770],
    ['everybody', 0o757],
  ])('that %s can write has no keys', async (_, mode) => {
    const folder = folderWith({ a: 1 });
    chmodSync(folder, mode);
    expect(await load(folder)).toMatchObject({ keys: [], problems: ['key-unsafe'] });
  });

  it('that is a file, or below one, is a problem', async () => {
    const folder = folderWith({ a: 1 });
    const { keys, problems } = await load(join(folder, 'a.json'), join(folder, 'a.json', 'keys'));
    expect([keys, problems]).toEqual([[], ['key-invalid', 'key-invalid']]);
  });

  it.skipIf(needs('root'))('that another user owns, or a file that he owns, is unsafe', async () => {
    const [folder, whole] = [folderWith({ a: 1, b: 2 }), folderWith({ c: 3 })];
    chownSync(join(folder, 'a.json'), 65_534, 0);
    chownSync(whole, 65_534, 0);
    expect(await load(folder, whole)).toMatchObject({ keys: ['b'], problems: ['key-unsafe', 'key-unsafe'] });
  });

  it.skipIf(needs('root'))('that cannot be read is a problem: protection is required', async () => {
    const folder = folderWith({ a: 1 });
    chmodSync(folder, 0o700);
    const found = await asNobody(() => load(folder, join(folder, 'keys')));
    expect(found.problems.length).toBe(2);
  });
});

describe('a key file in the folder', () => {
  it.each([0o600, 0o400, 0o640, 0o440, 0o700])('may have mode %o', async (mode) => {
    const folder = folderWith({ a: 1 });
    chmodSync(join(folder, 'a.json'), mode);
    expect(await load(folder)).toEqual(fine('a'));
  });

  it.each([0o644, 0o604, 0o660, 0o650, 0o602, 0o601])('must not have mode %o', async (mode) => {
    const folder = folderWith({ a: 1, b: 2 });
    chmodSync(join(folder, 'a.json'), mode);
    expect(await load(folder)).toMatchObject({ keys: ['b'], problems: ['key-unsafe'] });
  });

  it.each<[string, (path: string) => void]>([
    ['a folder', (path) => mkdirSync(path, 0o700)],
    ['a named pipe', (path) => void execFileSync('mkfifo', ['-m', '600', path])],
    ['a symbolic link to nothing', (path) => symlinkSync('/nonexistent', path)],
    ['a symbolic link to itself', (path) => symlinkSync(path, path)],
    ['a symbolic link to a device', (path) => symlinkSync('/dev/zero', path)],
  ])('that is %s is a problem, and holds nothing up', async (_, make) => {
    const folder = folderWith({ a: 1, b: 2 });
    unlinkSync(join(folder, 'a.json'));
    make(join(folder, 'a.json'));
    const { keys, texts } = await load(folder);
    expect(keys).toEqual(['b']);
    expect(texts).toEqual([expect.stringMatching(/a\.json: (?:it is not a file|ENOENT|ELOOP)/)]);
  });

  it('may be a symbolic link to a safe file, whose name does not matter', async () => {
    const folder = folderWith({ b: 2 });
    symlinkSync(join(folderWith({ other: 1 }), 'other.json'), join(folder, 'a.json'));
    expect(await load(folder)).toEqual(fine('a', 'b'));
  });

  it('that is too big is not read', async () => {
    const folder = folderWith({ b: 2 });
    writeFile(folder, 'a.json', keyFileText() + ' '.repeat(20_000));
    expect(await load(folder)).toMatchObject({ keys: ['b'], problems: ['key-invalid'] });
  });

  it('that is broken is named, and its secret is not shown', async () => {
    const folder = temporaryFolder();
    const secret = KEY.masterSecret.toString('hex');
    writeFile(folder, 'a.json', keyFileText().slice(0, -1));
    writeFile(folder, 'b.json', keyFileText().replace(secret, `${secret}00`));
    const { problems } = await loadKeys([{ path: folder, mayBeMissing: false, isShared: false }]);
    expect(problems.map(({ message }) => message.slice(folder.length))).toEqual([
      '/a.json: it is not JSON',
      '/b.json: secret: has 32 hexadecimal digits',
    ]);
    for (const { stack, cause } of problems) expect(`${stack} ${String(cause)}`).not.toContain(secret.slice(0, 8));
  });
});
