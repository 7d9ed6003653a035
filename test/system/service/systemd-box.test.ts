import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemdRoot } from '../../support/debian-root.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { startProcess } from '../../support/process.js';
import { BOX_TIMEOUT_MS, bootBox, type SystemdBox } from '../../support/systemd-box.js';

const isAlive = (pid: number | string) => existsSync(`/proc/${pid}`);

describe.skipIf(needs('root', 'unshare', 'mmdebstrap'))('a box with systemd', () => {
  let box: SystemdBox;
  beforeAll(async () => {
    box = await bootBox();
  }, BOX_TIMEOUT_MS);
  afterAll(() => box.stop());

  it('is a Debian 13 whose PID 1 is systemd', async () => {
    expect(await box.done(['cat', '/proc/1/comm'])).toBe('systemd');
    expect(await box.done(['systemctl', '--version'])).toMatch(/^systemd 257 /);
    expect(await box.done(['node', '--version'])).toMatch(/^v20\./);
  });

  it('runs programs as its users with an input, and returns their exit codes', async () => {
    expect(await box.run(['sh', '-c', 'cat; id -un; echo wrong >&2; exit 3'], { input: 'in\n' })).toEqual({
      code: 3,
      stdout: 'in\nroot\n',
      stderr: 'wrong\n',
    });
    expect(await box.done(['id'], { user: 'nobody' })).toBe(
      'uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)',
    );
  });

  it('kills a program that takes too long, and one that its test started', async () => {
    await expect(box.run(['sleep', '1000'], { timeoutMs: 100 })).rejects.toThrow('in its time');
    const running = box.start(['sh', '-c', 'echo started; exec sleep 1000'], 'nobody');
    await running.line(/started/);
    running.kill('SIGKILL');
    const sleepers = async () => (await box.run(['sh', '-c', 'grep -l ^sleep /proc/[0-9]*/comm'])).stdout;
    await expect.poll(sleepers).toBe('');
  });

  it('runs services, and keeps their journal', async () => {
    box.write('/etc/systemd/system/talk.service', '[Service]\nType=oneshot\nExecStart=echo a word\n');
    await box.done(['systemctl', 'start', 'talk']);
    expect(await box.journal('talk')).toContain('a word');
  });

  it('has a network of its own, where the gateway’s address is free', async () => {
    await box.done(['ip', 'address', 'add', '100.64.0.1/32', 'dev', 'lo']);
    const bind = "require('dgram').createSocket('udp4').bind(6969, '100.64.0.1', () => process.exit())";
    await box.done(['node', '-e', bind]);
    expect(readFileSync('/proc/net/fib_trie', 'utf8')).not.toContain('100.64.0.1\n');
  });

  it('copies files and folders in, and shows its own files', async () => {
    const folder = temporaryFolder();
    writeScript('echo from outside', folder, 'script');
    await box.copy(folder, '/opt/copied');
    expect(await box.done(['/opt/copied/script'])).toBe('from outside');
    await box.copy(join(folder, 'script'), '/usr/local/bin/script');
    expect(await box.done(['script'])).toBe('from outside');
    await box.done(['sh', '-c', 'echo inside >/etc/inside']);
    expect(box.read('/etc/inside')).toBe('inside\n');
  });

  it('cannot change the root, the kernel’s settings and the devices of this machine', async () => {
    box.write('/etc/written', '');
    expect(existsSync(join(await systemdRoot(), 'etc/written'))).toBe(false);
    expect(await box.run(['sh', '-c', 'echo 1 >/proc/sys/kernel/printk'])).toMatchObject({ code: 2 });
    expect(await box.run(['touch', '/sys/kernel/uevent_helper'])).toMatchObject({ code: 1 });
    expect(await box.run(['sh', '-c', 'ls /dev/vd* /dev/sd* /dev/nvme* /dev/mem'])).toMatchObject({ stdout: '' });
  });

  it('is isolated from another box, and leaves nothing behind when it is stopped', async () => {
    const other = await bootBox();
    const sleep = ['systemd-run', '--unit=same', 'sleep', '1000'];
    const pidOf = (one: SystemdBox) => one.done(['systemctl', 'show', '--property=MainPID', '--value', 'same']);
    await Promise.all([box.done(sleep), other.done(sleep)]);
    const init = other.path('').split('/')[2] ?? '';
    await other.done(['systemctl', 'kill', '--signal=KILL', 'same']);
    await expect.poll(() => pidOf(other)).toBe('0');
    await other.stop();
    expect(isAlive(init)).toBe(false);
    expect(await box.done(['systemctl', 'is-active', 'same'])).toBe('active');
  });

  it('ends with the process that booted it, however that ends', async () => {
    const script = resolve('test/support/systemd-box.sh');
    const owner = writeFile(
      temporaryFolder(),
      'owner.mjs',
      `import { spawn } from 'node:child_process';
       const keeper = spawn(process.argv[2], [process.argv[3]], { stdio: ['pipe', 'inherit', 'inherit'], detached: true });
       console.log('keeper', keeper.pid);`,
    );
    const running = startProcess(process.execPath, [owner, script, await systemdRoot()]);
    const keeper = (await running.line(/^keeper/)).split(' ')[1] ?? '';
    const init = await running.line(/^\d+$/);
    expect([keeper, init].map(isAlive)).toEqual([true, true]);
    running.kill('SIGKILL');
    await expect.poll(() => [keeper, init].map(isAlive)).toEqual([false, false]);
    // The folder's name tells the keeper; another test's may be there.
    expect(readdirSync('/var/tmp')).not.toContain(`systemd-box.${keeper}`);
  });

  it('reports why it did not boot', async () => {
    await expect(bootBox('/nowhere')).rejects.toThrow('overlay');
  });
});
