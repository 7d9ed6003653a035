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

describe('a file that only its owner can change', () => {
  it('is safe, also in a folder with the sticky bit such as /tmp', async () => {
    const path = writeFile(temporaryFolder(), 'script', '', 0o755);
    expect(await resolveSafePath(path)).toBe(path);
    const sticky = folderIn(temporaryFolder(), 'sticky', 0o1777);
    const inSticky = writeFile(sticky, 'script', '', 0o755);
    expect(await resolveSafePath(inSticky)).toBe(inSticky);
  });

  it('is given back by its real path, however it was written', async () => {
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

  it('is found as the kernel would: .. behind a symbolic link leads above where the link leads', async () => {
    const folder = temporaryFolder();
    const inner = folderIn(folderIn(folder, 'a'), 'b');
    const path = writeFile(join(folder, 'a'), 'script', '');
    symlinkSync(inner, join(folder, 'link'));
    expect(await resolveSafePath(`${folder}/link/../script`)).toBe(path);
  });
});

describe('a file that others could change', () => {
  it.each(['775', '757', '777', '1777'])('is refused with mode %s', async (mode) => {
    const path = writeFile(temporaryFolder(), 'script', '', Number.parseInt(mode, 8));
    await expect(resolveSafePath(path)).rejects.toMatchObject(unsafe);
  });

  it.each(['775', '757', '777'])('is refused in a folder of mode %s, however far above', async (mode) => {
    const open = folderIn(temporaryFolder(), 'open', Number.parseInt(mode, 8));
    const path = writeFile(folderIn(open, 'below'), 'script', '');
    await expect(resolveSafePath(path)).rejects.toMatchObject(unsafe);
    await expect(resolveSafePath(path)).rejects.toThrow(`${open} `);
  });

  it.skipIf(needs('root'))('is refused when it, or a folder above it, belongs to another user', async () => {
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

describe('a symbolic link', () => {
  it('is refused when what it leads to is not safe', async () => {
    const folder = temporaryFolder();
    symlinkSync(writeFile(folder, 'script', '', 0o777), join(folder, 'link'));
    await expect(resolveSafePath(join(folder, 'link'))).rejects.toMatchObject(unsafe);
  });

  it('is refused when others can make it lead elsewhere, though it leads to a safe file now', async () => {
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

  it.skipIf(needs('root'))('is refused when it belongs to another user, as anybody can make one in /tmp', async () => {
    const folder = temporaryFolder();
    const path = writeFile(folder, 'script', '');
    const link = join(folderIn(folder, 'sticky', 0o1777), 'link');
    symlinkSync(path, link);
    expect(await resolveSafePath(link)).toBe(path);
    lchownSync(link, STRANGER, STRANGER);
    await expect(resolveSafePath(link)).rejects.toMatchObject(unsafe);
  });

  it('is an error of its own when it leads nowhere, or in a circle', async () => {
    const folder = temporaryFolder();
    symlinkSync('nowhere', join(folder, 'dangling'));
    symlinkSync('circle', join(folder, 'circle'));
    for (const name of ['dangling', 'circle', 'absent']) {
      await expect(resolveSafePath(join(folder, name))).rejects.toMatchObject({ code: 'handler-invalid' });
    }
  });
});
