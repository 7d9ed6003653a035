import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  installCommand,
  keyFileOf,
  makeKeyFolder,
  shellWord,
  writeKeyFile,
} from '../../../../sender/cli/keys/key-files.js';
import { temporaryFolder, writeFile } from '../../../support/files.js';

const badInput = (message: string) =>
  expect.objectContaining({ code: 'bad-input', message: expect.stringContaining(message) });

describe('a key file', () => {
  it('is for its owner alone, and may be there with the same content', () => {
    const path = join(temporaryFolder(), 'key.json');
    writeKeyFile(path, 'key\n');
    writeKeyFile(path, 'key\n');
    expect(readFileSync(path, 'utf8')).toBe('key\n');
    expect(statSync(path).mode & 0o7777).toBe(0o600);
    expect(() => writeKeyFile(path, 'other\n')).toThrowError(badInput('not overwritten'));
    chmodSync(path, 0o640);
    expect(() => writeKeyFile(path, 'key\n')).toThrowError(badInput('others'));
  });

  it('is not written where there is something else, or no folder', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'folder'));
    expect(() => writeKeyFile(join(folder, 'folder'), 'key\n')).toThrowError(badInput('folder'));
    expect(() => writeKeyFile(join(folder, 'none', 'key.json'), 'key\n')).toThrowError(badInput('none'));
    expect(() => makeKeyFolder(writeFile(folder, 'file', ''))).toThrowError(badInput('file'));
  });

  it.each([
    ['gateway-1', 'gateway-1'],
    ['../evil', undefined],
    ['.', undefined],
    ['.hidden', undefined],
    ['-rf', undefined],
    ['a b', undefined],
    ['n'.repeat(101), undefined],
  ])('of %s is called by %s, else by the SID', (name, file) => {
    expect(keyFileOf('/keys', { name, sim: { sid: 'HS1' } })).toBe(`/keys/${file ?? 'HS1'}.json`);
  });

  it('is installed by a command that a shell reads as it is meant', () => {
    expect(installCommand('key.json', 9, '0123456789abcdef')).toContain(
      ' key.json /etc/supersim-agent/keys/operator-9-0123.json ',
    );
    for (const word of ['key.json', 'a b', "it's", '$(id)', '`id`', '-n', '', '*', 'é', '\\', '~']) {
      expect(execFileSync('sh', ['-c', `printf '%s' ${shellWord(word)}`], { encoding: 'utf8' })).toBe(word);
    }
  });
});
