import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.js';
import { buildPackages, changePackage, OWN_ARCHITECTURE, PACKAGE_TIMEOUT_MS, packageFile } from '../support/package.js';
import { BOX_TIMEOUT_MS, bootBox, type SystemdBox } from '../support/systemd-box.js';

const CONFIG = '/etc/supersim-agent/config.yaml';
const SERVICE = 'supersim-agent.service';
/** The device's side of the cellular network, and beyond it the gateway. */
const CARRIER = `
ip netns add carrier
ip link add wwan0 type veth peer name wwan0 netns carrier
ip address add 100.64.0.9/32 dev wwan0
ip link set wwan0 up
ip route add 100.64.0.1 dev wwan0
ip -n carrier address add 100.64.0.1/32 dev wwan0
ip -n carrier link set wwan0 up
ip -n carrier link set lo up
ip -n carrier route add 100.64.0.9 dev wwan0
`;
const CREDENTIALS = ['SUPERSIM_ACCOUNT_SID=AC00000000000000000000000000000001', 'SUPERSIM_AUTH_TOKEN=secret'];
/** All files with their kinds and owners, but those that the package manager and systemd keep for themselves. */
const FILES = `find / -xdev \\( -path /proc -o -path /sys -o -path /tmp -o -path /var/tmp -o -path /var/log \
  -o -path /var/lib/dpkg -o -path /var/cache -o -path /run \\) -prune -o -printf '%p %y %u\\n' | sort`;
/** Users and groups; what systemd-sysusers keeps beside them are copies from before. */
const USERS = 'cat /etc/passwd /etc/group /etc/shadow /etc/gshadow';

describe.skipIf(needs('root', 'unshare', 'mmdebstrap', 'dpkg-deb'))('the package on a Debian 13', () => {
  let folder = '';
  let box: SystemdBox;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'supersim-test-'));
    await buildPackages(folder, [OWN_ARCHITECTURE]);
    const file = packageFile(folder, OWN_ARCHITECTURE);
    await changePackage(file, join(folder, 'newer.deb'), (tree) => {
      const control = join(tree, 'DEBIAN/control');
      writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, '$&.1'));
      writeFileSync(join(tree, CONFIG), `${readFileSync(join(tree, CONFIG), 'utf8')}# a newer sample\n`);
    });
    renameSync(file, join(folder, 'supersim-agent.deb'));
  }, PACKAGE_TIMEOUT_MS);
  afterAll(() => rmSync(folder, { recursive: true }));

  beforeEach(async () => {
    box = await bootBox();
    await box.copy(folder, '/opt/packages');
  }, BOX_TIMEOUT_MS);
  afterEach(() => box.stop());

  const dpkg = (...args: string[]) => box.done(['dpkg', '--force-confold', ...args], { timeoutMs: 60_000 });
  const install = (name = 'supersim-agent') => dpkg('--install', `/opt/packages/${name}.deb`);
  const systemctl = async (...args: string[]) => (await box.run(['systemctl', ...args])).stdout.trim();
  const show = (property: string) => systemctl('show', '--value', `--property=${property}`, SERVICE);
  const processes = () => box.done(['sh', '-c', 'cat /proc/[0-9]*/comm']);
  const inode = (file: string) => statSync(box.path(file)).ino;
  const started = () =>
    expect.poll(() => box.run(['supersim-agent', 'status']), { timeout: 20_000 }).toMatchObject({ code: 0 });

  it('runs at once, hardened, as a user of its own, and answers a command from the cloud', async () => {
    await box.done(['sh', '-ec', CARRIER]);
    await install();
    await started();
    expect(await systemctl('is-enabled', SERVICE)).toBe('enabled');
    expect(await show('User')).toBe('supersim-agent');
    expect(await box.done(['stat', '--format=%U:%G %a', '/var/lib/supersim-agent', '/run/supersim-agent'])).toMatch(
      /^supersim-agent:supersim-agent 7.5\nsupersim-agent:supersim-agent 750$/,
    );
    expect(await box.done(['stat', '--format=%U:%G %a', CONFIG])).toBe('root:root 644');
    expect(await box.done(['/usr/lib/systemd/systemd-sysctl', '--cat-config'])).toContain(
      'net.core.rmem_max = 4194304',
    );

    mkdirSync(box.path('/opt/cloud'));
    await box.copy('dist', '/opt/cloud/dist');
    box.write('/opt/cloud/package.json', '{"type":"module"}');
    box.write('/opt/cloud/sims.yaml', '- { name: gateway-1, address: 100.64.0.9 }');
    const cloud = ['ip', 'netns', 'exec', 'carrier', 'env', ...CREDENTIALS, 'SUPERSIM_API_URL=http://127.0.0.1:8080'];
    const supersim = (...args: string[]) => [...cloud, 'node', '/opt/cloud/dist/bin/supersim.js', ...args];
    const loopback = box.start(supersim('loopback', '--gateway', '100.64.0.1:6969', '--sims', '/opt/cloud/sims.yaml'));
    await loopback.line(/100\.64\.0\.1:6969/);
    expect(await box.done(supersim('request', '--sim', 'gateway-1', 'ping'))).toContain('pong');
  }, 90_000);

  it('keeps the operator’s configuration over an upgrade, and the journal; the newer agent runs', async () => {
    await install();
    await started();
    box.write(CONFIG, 'device: { id: gateway-17 }\n');
    await box.done(['systemctl', 'restart', SERVICE]);
    await started();
    const [pid, journal] = [await show('MainPID'), inode('/var/lib/supersim-agent/journal.db')];
    await install('newer');
    await started();
    expect(await show('MainPID')).not.toBe(pid);
    expect(inode('/var/lib/supersim-agent/journal.db')).toBe(journal);
    expect(box.read(CONFIG)).toBe('device: { id: gateway-17 }\n');
    expect(box.read(`${CONFIG}.dpkg-dist`)).toContain('# a newer sample');
    expect((await box.journal(SERVICE)).findLast((line) => line.includes('agent started'))).toContain('gateway-17');
  }, 60_000);

  it('takes the newer sample where nobody has changed it', async () => {
    await install();
    await install('newer');
    expect(box.read(CONFIG)).toContain('# a newer sample');
  });

  it('stays off over an upgrade where the operator has switched it off', async () => {
    await install();
    await box.done(['systemctl', 'disable', '--now', SERVICE]);
    await install('newer');
    expect(await systemctl('is-enabled', SERVICE)).toBe('disabled');
    expect(await systemctl('is-active', SERVICE)).toBe('inactive');
  });

  it('may be installed again over itself, and configured again and again', async () => {
    await install();
    await install();
    for (let i = 0; i < 2; i++) await box.done(['/var/lib/dpkg/info/supersim-agent.postinst', 'configure', '']);
    await started();
    expect(await box.done(['dpkg', '--verify', 'supersim-agent'])).toBe('');
    expect(await show('NRestarts')).toBe('0');
  }, 60_000);

  it('is installed without being started where no systemd runs, as in a container', async () => {
    const install = 'mount -t tmpfs tmpfs /run/systemd; dpkg --install /opt/packages/supersim-agent.deb';
    await box.done(['unshare', '--mount', 'sh', '-ec', `${install}; exec supersim-agent config check`]);
    expect(await box.done(['id', '--user', '--name', 'supersim-agent'])).toBe('supersim-agent');
    expect(await systemctl('is-active', SERVICE)).toBe('inactive');
  });

  it('stops when it is removed, keeps what is the operator’s, and has it when it is back', async () => {
    await install();
    await started();
    expect(await processes()).toContain('supersim-agent');
    box.write(CONFIG, 'device: { id: gateway-17 }\n');
    await dpkg('--remove', 'supersim-agent');
    expect(await show('LoadState')).toBe('not-found');
    expect(await processes()).not.toContain('supersim-agent');
    expect(await box.done(['ls', '/var/lib/supersim-agent'])).toContain('journal.db');
    await install();
    await started();
    expect((await box.journal(SERVICE)).findLast((line) => line.includes('agent started'))).toContain('gateway-17');
  }, 60_000);

  it('leaves nothing when it is purged', async () => {
    const [files, users] = [await box.done(['sh', '-c', FILES]), await box.done(['sh', '-c', USERS])];
    await install();
    await started();
    box.write('/etc/supersim-agent/handlers.mjs', '');
    const meanwhile = await box.done(['sh', '-c', FILES]);
    expect(meanwhile).toContain('/var/lib/supersim-agent/journal.db f supersim-agent');
    await dpkg('--purge', 'supersim-agent');
    expect(await box.done(['sh', '-c', FILES])).toBe(files);
    expect(await box.done(['sh', '-c', USERS])).toBe(users);
    expect(await box.done(['sh', '-c', 'ls -d /run/supersim* /var/tmp/*supersim* || true'])).toBe('');
    expect(await systemctl('list-units', '--all', '--no-legend', 'supersim*')).toBe('');
    await box.done(['dpkg', '--purge', 'supersim-agent']);
  }, 60_000);
});
