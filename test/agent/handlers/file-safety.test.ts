import { chmodSync, chownSync, lchownSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveSafePath } from '../../../agent/handlers/file-safety.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { needs } from '../../support/needs.js';

const STRANGER = 4242;
const unsafe = { code: 'program-unsafe' };

function folderIn(parent: string, name: string, mode = 0o755): string {
  const folder = join(parent, name);
  mkdirSync(folder);
  chmodSync(folder, mode);
  return folder;
}

describe('resolveSafePath for a file that only its owner can change', () => {
  it('accepts it, also in a folder with the sticky bit such as /tmp', async () => {
    const path = writeFile(temporaryFolder(), 'script', '', 0o755);
    expect(await resolveSafePath(path)).toBe(path);
    const sticky = folderIn(temporaryFolder(), 'sticky', 0o1777);
    const inSticky = writeFile(sticky, 'script', '', 0o755);
    expect(await resolveSafePath(inSticky)).toBe(inSticky);
  });

  it('returns its real path', async () => {
    const folder = temporaryFolder();
    const path = writeFile(folder, 'script', '');
    symlinkSync('script', join(folder, 'relative'));
    symlinkSync(path, join(folder, 'absolute'));
    symlinkSync(folder, join(folder, 'here'));
    symlinkSync('here/./here/relative', join(folder, 'roundabout'));
    for (const way of ['relative', 'absolute', 'here/here/script', './/script', 'roundabout']) {
      expect(await resolveSafePath(`${folder}/${way}`)).toBe(path);
    }
    expect(await resolveSafePath('package.json')).toBe(join(process.cwd(), 'package.json'));
  });

  it('resolves .. after a symbolic link as the kernel does', async () => {
    const folder = temporaryFolder();
    const inner = folderIn(folderIn(folder, 'a'), 'b');
    const path = writeFile(join(folder, 'a'), 'script', '');
    symlinkSync(inner, join(folder, 'link'));
    expect(await resolveSafePath(`${folder}/link/../script`)).toBe(path);
  });
});

describe('resolveSafePath for a file that others could change', () => {
  it.each(['775', '757', '777', '1777'])('refuses mode %s', async (mode) => {
    const path = writeFile(temporaryFolder(), 'script', '', Number.parseInt(mode, 8));
    await expect(resolveSafePath(path)).rejects.toMatchObject(unsafe);
  });

  it.each(['775', '757', '777'])('refuses a folder of mode %s anywhere above it', async (mode) => {
    const open = folderIn(temporaryFolder(), 'open', Number.parseInt(mode, 8));
    const path = writeFile(folderIn(open, 'below'), 'script', '');
    await expect(resolveSafePath(path)).rejects.toMatchObject(unsafe);
    await expect(resolveSafePath(path)).rejects.toThrow(`${open} `);
  });

  it.skipIf(needs('root'))('refuses a file or folder of another user', async () => {
    const folder = folderIn(temporaryFolder(), 'folder');
    const path = writeFile(folder, 'script', '');
    chownSync(path, STRANGER, STRANGER);
    await expect(resolveSafePath(path)).rejects.toMatchObject(unsafe);
    chownSync(path, 0, 0);
    expect(await resolveSafePath(path)).toBe(path);
    chownSync(folder, STRANGER, STRANGER);
    await expect(resolveSafePath(path)).rejects.toMatchObject(unsafe);
  });
});

describe('resolveSafePath for a symbolic link', () => {
  it('refuses an unsafe target', async () => {
    const folder = temporaryFolder();
    symlinkSync(writeFile(folder, 'script', '', 0o777), join(folder, 'link'));
    await expect(resolveSafePath(join(folder, 'link'))).rejects.toMatchObject(unsafe);
  });

  it('refuses a link that others can replace, even with a safe target', async () => {
    const folder = temporaryFolder();
    const safe = folderIn(folder, 'safe');
    writeFile(safe, 'script', '');
    const open = folderIn(folder, 'open', 0o777);
    symlinkSync(join(safe, 'script'), join(open, 'to-file'));
    symlinkSync(safe, join(open, 'to-folder'));
    symlinkSync(join(open, 'to-file'), join(safe, 'through'));
    await expect(resolveSafePath(join(open, 'to-file'))).rejects.toMatchObject(unsafe);
    await expect(resolveSafePath(join(open, 'to-folder', 'script'))).rejects.toMatchObject(unsafe);
    await expect(resolveSafePath(join(safe, 'through'))).rejects.toMatchObject(unsafe);
  });

  it.skipIf(needs('root'))('refuses a link of another user', async () => {
    const folder = temporaryFolder();
    const path = writeFile(folder, 'script', '');
    const link = join(folderIn(folder, 'sticky', 0o1777), 'link');
    symlinkSync(path, link);
    expect(await resolveSafePath(link)).toBe(path);
    lchownSync(link, STRANGER, STRANGER);
    await expect(resolveSafePath(link)).rejects.toMatchObject(unsafe);
  });

  it('refuses a dangling link and a loop', async () => {
    const folder = temporaryFolder();
    symlinkSync('nowhere', join(folder, 'dangling'));
    symlinkSync('circle', join(folder, 'circle'));
    for (const name of ['dangling', 'circle', 'absent']) {
      await expect(resolveSafePath(join(folder, name))).rejects.toMatchObject({ code: 'handler-invalid' });
    }
  });
});
