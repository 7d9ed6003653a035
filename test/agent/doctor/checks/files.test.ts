import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { silentLog } from '../../../../agent/base/log.js';
import { disk, mountOf } from '../../../../agent/doctor/checks/files/disk.js';
import { handlers } from '../../../../agent/doctor/checks/files/handlers.js';
import { journal } from '../../../../agent/doctor/checks/files/journal.js';
import { openDatabase } from '../../../../agent/storage/database.js';
import { temporaryFolder, writeFile, writeScript } from '../../../support/files.js';
import { needs } from '../../../support/needs.js';
import { fill, filledFolder, smallDisk } from '../../storage/support.js';
import { NOBODY, ROOT, run } from '../support.js';

describe('handlers', () => {
  const program = (file: string) => ({ handlers: { 'relay.set': { program: [file] } } });

  it('are good when they are there, and safe', async () => {
    const file = writeScript('true');
    const module = writeFile(temporaryFolder(), 'relay.mjs', 'throw new Error("it must not be loaded")');
    const config = { ...program(file), modules: [module], device: { reboot: ['/bin/true'] } };
    expect(await run(handlers, config, { agent: async () => ROOT })).toMatchObject([{ severity: 'good' }]);
  });

  it('are told when they are not there, when others can change them, and when they may not be run', async () => {
    const safe = { device: { reboot: ['/bin/true'] } };
    const as = (agent = ROOT) => ({ agent: async () => agent });
    const absent = join(temporaryFolder(), 'absent');
    expect(await run(handlers, { ...program(absent), ...safe }, as())).toMatchObject([
      { severity: 'error', code: 'handler-invalid', found: expect.stringContaining('relay.set') },
    ]);
    const loose = writeScript('true');
    chmodSync(loose, 0o777);
    expect(await run(handlers, { ...program(loose), ...safe }, as())).toMatchObject([
      { severity: 'error', code: 'program-unsafe', remedy: expect.stringContaining('chmod go-w') },
    ]);
    const plain = writeScript('true');
    chmodSync(plain, 0o644);
    expect(await run(handlers, { ...program(plain), ...safe }, as())).toMatchObject([
      { severity: 'error', code: 'handler-invalid', remedy: expect.stringContaining('chmod a+rx') },
    ]);
    const folder = { handlers: { 'relay.set': { program: ['/bin/true'], directory: absent } } };
    expect(await run(handlers, { ...folder, ...safe }, as())).toMatchObject([{ severity: 'error' }]);
  });

  it.skipIf(needs('root'))('cannot be another user’s, unless the agent is root', async () => {
    const config = { handlers: { 'relay.set': { program: ['/bin/true'], user: 'nobody' } } };
    const safe = { ...config, device: { reboot: ['/bin/true'] } };
    expect(await run(handlers, safe, { agent: async () => ROOT })).toMatchObject([{ severity: 'good' }]);
    expect(await run(handlers, safe, { agent: async () => NOBODY })).toMatchObject([
      { severity: 'error', code: 'handler-invalid', remedy: expect.stringContaining('user') },
    ]);
  });

  it('may be sockets, which the agent must be allowed to use', async () => {
    const path = join(temporaryFolder(), 'reboot.sock');
    const config = { handlers: { 'packages.update': { socket: path } }, device: { reboot: { socket: path } } };
    expect(await run(handlers, config, { agent: async () => ROOT })).toMatchObject([
      { severity: 'error', code: 'handler-invalid', found: expect.stringContaining('packages.update') },
      { severity: 'warning', found: expect.stringContaining('device.reboot') },
    ]);
    const server = createServer().listen(path);
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    chmodSync(path, 0o666);
    const loose = await run(handlers, config, { agent: async () => ROOT });
    expect(loose[0]).toMatchObject({ code: 'program-unsafe', remedy: expect.stringContaining('SocketMode=0660') });
    chmodSync(path, 0o660);
    expect(await run(handlers, config, { agent: async () => ROOT })).toMatchObject([{ severity: 'good' }]);
    const others = await run(handlers, config, { agent: async () => NOBODY });
    expect(others[0]).toMatchObject({ found: expect.stringContaining('nobody may not connect to') });
  });

  it('are looked at as the agent sees them, and device.reboot only warns', async () => {
    const file = writeScript('true');
    // Its folder is closed to everybody else.
    const config = { ...program(file), device: { reboot: ['/bin/no-such-program'] } };
    expect(await run(handlers, config, { agent: async () => NOBODY })).toMatchObject([
      { severity: 'error', found: expect.stringContaining('nobody may not run') },
      { severity: 'warning', found: expect.stringContaining('device.reboot') },
    ]);
  });
});

describe('disk', () => {
  it('is good when it is writable and has room', async () => {
    expect(await run(disk)).toMatchObject([{ severity: 'good', found: expect.stringContaining('MiB free') }]);
  });

  it('is not there yet on a new device', async () => {
    const folder = join(temporaryFolder(), 'later');
    expect(await run(disk, { state: { folder } })).toMatchObject([{ severity: 'note' }]);
  });

  it.skipIf(needs('root'))('is full, or soon', async () => {
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

  it.skipIf(needs('root'))('is read-only', async () => {
    const folder = smallDisk(64 * 1024 * 1024);
    execFileSync('mount', ['-o', 'remount,ro', folder]);
    expect((await run(disk, { state: { folder } }))[0]).toMatchObject({
      severity: 'error',
      remedy: expect.stringContaining(`mount -o remount,rw ${folder}`),
    });
  });

  it('is another’s: the agent cannot write it', async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o755);
    expect(await run(disk, { state: { folder } }, { agent: async () => NOBODY })).toMatchObject([
      { severity: 'error', remedy: expect.stringContaining(`chown -R nobody: ${folder}`) },
    ]);
  });

  it('is the mount that hides the others', () => {
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

describe('journal', () => {
  it('is sound, and looking at it leaves its folder as it was', async () => {
    const folder = await filledFolder();
    const before = readdirSync(folder);
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'good', found: expect.stringContaining('quick_check') },
    ]);
    expect(readdirSync(folder)).toEqual(before);
  });

  it('is damaged', async () => {
    const folder = await filledFolder();
    const path = join(folder, 'journal.db');
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0x55, 4096, 8192));
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'error', remedy: expect.stringContaining('dmesg') },
    ]);
    // It is the agent's to set aside.
    expect(readdirSync(folder).some((name) => name.includes('damaged'))).toBe(false);
  });

  it('was damaged before', async () => {
    const folder = await filledFolder();
    writeFile(folder, 'journal.db.damaged-2026-01-01T00:00:00.000Z', 'x');
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'good' },
      { severity: 'warning', found: expect.stringContaining('damaged-2026') },
    ]);
  });

  it('is left alone while an agent has it, and is not there on a new device', async () => {
    const folder = temporaryFolder();
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'good', found: expect.stringContaining('not there yet') },
    ]);
    const database = await openDatabase({ folder, log: silentLog });
    const found = await run(journal, { state: { folder } });
    database.close();
    expect(found).toMatchObject([{ severity: 'good', found: expect.stringContaining('has it') }]);
  });
});
