import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createPrivateFile, createPrivateText } from '../../../sender/base/new-file.js';
import { temporaryFolder, writeFile } from '../../support/files.js';

describe('a new private file', () => {
  it('is for its owner alone', () => {
    const folder = temporaryFolder();
    createPrivateText(join(folder, 'new'), 'text');
    expect(readFileSync(join(folder, 'new'), 'utf8')).toBe('text');
    expect(statSync(join(folder, 'new')).mode & 0o7777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['new']);
  });

  it.each(['a file', 'a folder', 'a link to nothing'])('does not replace %s', (what) => {
    const folder = temporaryFolder();
    const path = join(folder, 'there');
    if (what === 'a file') writeFile(folder, 'there', 'old');
    if (what === 'a folder') mkdirSync(path);
    if (what === 'a link to nothing') symlinkSync(join(folder, 'nothing'), path);
    expect(() => createPrivateText(path, 'text')).toThrowError(expect.objectContaining({ code: 'EEXIST' }));
    expect(readdirSync(folder)).toEqual(['there']);
    if (what === 'a file') expect(readFileSync(path, 'utf8')).toBe('old');
  });

  it('is not there when its writing fails', () => {
    const folder = temporaryFolder();
    const fail = () => {
      throw new Error('full');
    };
    expect(() => createPrivateFile(join(folder, 'new'), fail)).toThrow('full');
    expect(readdirSync(folder)).toEqual([]);
  });
});
