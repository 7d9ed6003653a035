import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../../../agent/config/load.js';
import { disk, judgeDisk, mountOf, neededBytesOf } from '../../../../../agent/doctor/checks/files/disk.js';
import { temporaryFolder } from '../../../../support/files.js';
import { needs } from '../../../../support/needs.js';
import { fill, smallDisk } from '../../../storage/support.js';
import { expectJudgements, NOBODY, run } from '../../support.js';

describe('the doctor’s disk check', () => {
  it('finds a writable state folder with enough space', async () => {
    expect(await run(disk)).toMatchObject([{ severity: 'good', found: expect.stringContaining('MiB free') }]);
  });

  it('reports a state folder that does not exist yet as a note', async () => {
    const folder = join(temporaryFolder(), 'later');
    expect(await run(disk, { state: { folder } })).toMatchObject([{ severity: 'note' }]);
  });

  it.skipIf(needs('root'))('reports a full disk, and one that may become full', async () => {
    const folder = smallDisk(4 * 1024 * 1024);
    const found = await run(disk, { state: { folder } });
    expect(found).toMatchObject([
      { severity: 'warning', found: expect.stringContaining('may grow to') },
      { severity: 'warning', found: expect.stringContaining('tmpfs') },
    ]);
    fill(folder);
    expect((await run(disk, { state: { folder } }))[0]).toMatchObject({
      severity: 'error',
      found: expect.stringContaining('full'),
      remedy: expect.stringContaining('vacuum'),
    });
  });

  it.skipIf(needs('root'))('reports a read-only file system', async () => {
    const folder = smallDisk(64 * 1024 * 1024);
    execFileSync('mount', ['-o', 'remount,ro', folder]);
    expect((await run(disk, { state: { folder } }))[0]).toMatchObject({
      severity: 'error',
      remedy: expect.stringContaining(`mount -o remount,rw ${folder}`),
    });
  });

  it('says that the state is in memory only where that is configured', async () => {
    expect(await run(disk, { state: { folder: 'none' } })).toMatchObject([
      { severity: 'note', found: expect.stringContaining('in memory only') },
    ]);
  });

  it('reports a folder that the agent may not write', async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o755);
    expect(await run(disk, { state: { folder } }, { agent: async () => NOBODY })).toMatchObject([
      { severity: 'error', remedy: expect.stringContaining(`chown -R nobody: ${folder}`) },
    ]);
  });
});

describe('neededBytesOf', () => {
  it('adds replies, identities, outbox and SQLite’s log', () => {
    const { journal, outbox } = resolveConfig({});
    expect(neededBytesOf({ journal, outbox }) / MEGABYTE).toBeCloseTo(16 + 44_000_000 / MEGABYTE + 0.5 + 4);
  });
});

describe('mountOf', () => {
  it('returns the mount that hides the others', () => {
    const mounts = [
      '/dev/root / ext4 rw,noatime 0 0',
      'tmpfs /var/lib tmpfs rw 0 0',
      '/dev/sda1 /mnt/a\\040b vfat ro 0 0',
    ].join('\n');
    expect(mountOf(mounts, '/var/lib/supersim-agent')).toMatchObject({ type: 'tmpfs' });
    expect(mountOf(mounts, '/var/library')).toMatchObject({ type: 'ext4', isReadOnly: false });
    expect(mountOf(mounts, '/mnt/a b')).toMatchObject({ type: 'vfat', isReadOnly: true });
  });
});

type Observation = Parameters<typeof judgeDisk>[0];

const MEGABYTE = 1024 * 1024;
const FOLDER = '/var/lib/supersim-agent';
const mount = (change: object) => ({ mount: { folder: '/', type: 'ext4', isReadOnly: false, ...change } });
const WRITABLE: Observation = {
  folder: FOLDER,
  status: { uid: 0, gid: 0, mode: 0o40700 },
  agent: NOBODY,
  isWritable: true,
  freeBytes: 100 * MEGABYTE,
  freeFiles: 1000,
  neededBytes: 50 * MEGABYTE,
  ...mount({}),
  isPersistent: true,
};

describe('judgeDisk', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['a writable folder', {}, [/^good: writable, 100 MiB free$/]],
    [
      'a writable folder with little space that is enough',
      { freeBytes: 5 * MEGABYTE, neededBytes: MEGABYTE },
      [/^good: writable, 5\.0 MiB free$/],
    ],
    ['a folder whose permissions this user cannot see', { isWritable: undefined }, [/^good/]],
    ['a folder on an unknown mount', { mount: undefined, isPersistent: undefined }, [/^good/]],
    ['a missing folder', { status: 'ENOENT', isWritable: undefined }, [/^note: does not exist yet/]],
    [
      'a folder that this user may not see',
      { status: 'EACCES', isWritable: undefined },
      [/^note: .*→ Run it with sudo/],
    ],
    [
      'a folder that the agent may not write',
      { isWritable: false },
      [/^error: the agent’s user nobody cannot write it: commands .* are refused as busy → .*chown -R nobody: \/var/],
    ],
    [
      'a read-only file system',
      mount({ isReadOnly: true }),
      [/^error: its file system \/ is read-only: commands .* are refused as busy → .*remount,rw \/`/],
    ],
    ['a full disk', { freeBytes: MEGABYTE / 10 }, [/^error: the disk is full \(0\.1 MiB free\).*vacuum/]],
    ['a disk without free inodes', { freeFiles: 0 }, [/^error: the disk is full \(no free inodes\)/]],
    ['a disk that may become full', { freeBytes: 40 * MEGABYTE }, [/^warning: 40 MiB free, .* may grow to 50 MiB → /]],
    ['a tmpfs', mount({ type: 'tmpfs' }), [/^warning: in memory \(tmpfs\): .*`state\.folder`/]],
    ['a ramfs', mount({ type: 'ramfs' }), [/^warning: in memory \(ramfs\)/]],
    ['a journal in memory', { isPersistent: false }, [/^error: the running agent does not use it/]],
    [
      'everything at once',
      { isWritable: false, freeBytes: 0, ...mount({ type: 'tmpfs' }), isPersistent: false },
      [/^error: the agent’s user/, /^error: the disk is full/, /^warning: in memory/, /^error: the running agent/],
    ],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeDisk({ ...WRITABLE, ...change }), expected);
  });
});
