import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Report } from '../../../agent/doctor/examine.js';
import { LOADED_FILE, RULES_FILE, RULES_UNIT } from '../../../agent/packet-filter/ruleset.js';
import { addCarrier, DEVICE } from '../../support/box-agent.js';
import { needs } from '../../support/needs.js';
import { KEY } from '../../support/oscore.js';
import {
  buildPackages,
  changePackage,
  OWN_ARCHITECTURE,
  PACKAGE_TIMEOUT_MS,
  packageFile,
} from '../../support/package.js';
import { bootPackageBox, CONFIG, type PackageBox, SERVICE } from '../../support/package-box.js';
import { keyFileText } from '../../support/security.js';
import { BOX_TIMEOUT_MS } from '../../support/systemd-box.js';

const CREDENTIALS = ['SUPERSIM_ACCOUNT_SID=AC00000000000000000000000000000001', 'SUPERSIM_AUTH_TOKEN=secret'];
const KEYS = '/etc/supersim-agent/keys';
/** All files with their kinds and owners, but those that the package manager and systemd keep for themselves. */
const FILES = `find / -xdev \\( -path /proc -o -path /sys -o -path /tmp -o -path /var/tmp -o -path /var/log \
  -o -path /var/lib/dpkg -o -path /var/cache -o -path /run \\) -prune -o -printf '%p %y %u\\n' | sort`;
/** Users and groups; what systemd-sysusers keeps beside them are copies from before. */
const USERS = 'cat /etc/passwd /etc/group /etc/shadow /etc/gshadow';

describe.skipIf(needs('root', 'unshare', 'mmdebstrap', 'dpkg-deb'))('the package on a Debian 13', () => {
  let folder = '';
  let box: PackageBox;
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
    box = await bootPackageBox(folder);
  }, BOX_TIMEOUT_MS);
  afterEach(() => box.stop());

  const install = (name = 'supersim-agent') => box.install(name);
  const processes = () => box.done(['sh', '-c', 'cat /proc/[0-9]*/comm']);
  const inode = (file: string) => statSync(box.path(file)).ino;

  it('starts the agent at once, sandboxed, as its own user, and it answers a command from the cloud', async () => {
    await addCarrier(box);
    await install();
    await box.started();
    expect(await box.systemctl('is-enabled', SERVICE)).toBe('enabled');
    expect(await box.show('User')).toBe('supersim-agent');
    expect(await box.permissions('/var/lib/supersim-agent', '/run/supersim-agent')).toMatch(
      /^supersim-agent:supersim-agent 7.5\nsupersim-agent:supersim-agent 750$/,
    );
    expect(await box.permissions(CONFIG)).toBe('root:supersim-agent 640');
    expect(await box.done(['/usr/lib/systemd/systemd-sysctl', '--cat-config'])).toContain(
      'net.core.rmem_max = 4194304',
    );

    mkdirSync(box.path('/opt/cloud'));
    await box.copy('dist', '/opt/cloud/dist');
    box.write('/opt/cloud/package.json', '{"type":"module"}');
    box.write('/opt/cloud/sims.yaml', `- { name: gateway-1, address: ${DEVICE} }`);
    const cloud = ['ip', 'netns', 'exec', 'carrier', 'env', ...CREDENTIALS, 'SUPERSIM_API_URL=http://127.0.0.1:8080'];
    const supersim = (...args: string[]) => [...cloud, 'node', '/opt/cloud/dist/bin/supersim.js', ...args];
    const loopback = box.start(supersim('loopback', '--gateway', '100.64.0.1:6969', '--sims', '/opt/cloud/sims.yaml'));
    await loopback.line(/100\.64\.0\.1:6969/);
    expect(await box.done(supersim('request', '--sim', 'gateway-1', 'ping'))).toContain('pong');
  }, 90_000);

  it('takes keys from its folder and from systemd’s credentials, and shows their secrets nowhere', async () => {
    const [secret, sealed] = [KEY.masterSecret.toString('hex'), Buffer.alloc(16, 9).toString('hex')];
    await install();
    await box.started();
    expect(await box.permissions(KEYS)).toBe('root:supersim-agent 750');
    box.write(`${KEYS}/owner.json`, keyFileText());
    await box.done(['chown', 'root:supersim-agent', `${KEYS}/owner.json`]);
    await box.done(['chmod', '640', `${KEYS}/owner.json`]);
    await box.done(['systemctl', 'reload', SERVICE]);
    expect((await box.journal(SERVICE)).join('\n')).toContain('security.keys');
    expect(await box.done(['supersim-agent', 'status'])).toMatch(/^key owner .*kid 1, device /m);

    box.write('/etc/credstore/cloud.json', keyFileText({ kid: 2, masterSecret: Buffer.alloc(16, 9) }));
    const dropIn = '[Service]\nLoadCredential=cloud.json:/etc/credstore/cloud.json\n';
    box.write(`/etc/systemd/system/${SERVICE}.d/keys.conf`, dropIn);
    await box.done(['systemctl', 'daemon-reload']);
    await box.done(['systemctl', 'restart', SERVICE]);
    await box.started();
    const status = await box.done(['supersim-agent', 'status']);
    expect(status).toMatch(/^key owner /m);
    expect(status).toMatch(/^key cloud .*kid 2, device /m);

    const pid = await box.show('MainPID');
    expect(box.read(`/proc/${pid}/limits`)).toMatch(/^Max core file size +0 +0 /m);
    await box.run(['supersim-agent', 'doctor', '--bundle', '/root/bundle.txt']);
    const shown = [
      box.read('/root/bundle.txt'),
      (await box.journal(SERVICE)).join('\n'),
      status,
      await box.done(['sh', '-c', 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ']),
    ].join('\n');
    expect(shown).toContain('cloud');
    for (const one of [secret, sealed]) expect(shown).not.toContain(one);

    // Everyone can read it now: the device stays closed, and says why.
    await box.done(['chmod', '644', `${KEYS}/owner.json`]);
    expect(await box.run(['systemctl', 'reload', SERVICE])).not.toMatchObject({ code: 0 });
    await box.done(['systemctl', 'restart', SERVICE]);
    await box.started();
    expect(await box.done(['supersim-agent', 'status'])).toMatch(/^key file .*owner\.json: other users have access/m);
    expect((await box.run(['supersim-agent', 'doctor'])).stdout).toMatch(/error +security .*[\s\S]*owner\.json/);
  }, 60_000);

  it('keeps the operator’s configuration and the journal in an upgrade, and restarts the agent', async () => {
    await install();
    await box.started();
    box.write(CONFIG, 'device: { id: gateway-17 }\n');
    await box.done(['systemctl', 'restart', SERVICE]);
    await box.started();
    const [pid, journal] = [await box.show('MainPID'), inode('/var/lib/supersim-agent/journal.db')];
    await install('newer');
    await box.started();
    expect(await box.show('MainPID')).not.toBe(pid);
    expect(inode('/var/lib/supersim-agent/journal.db')).toBe(journal);
    expect(box.read(CONFIG)).toBe('device: { id: gateway-17 }\n');
    expect(box.read(`${CONFIG}.dpkg-dist`)).toContain('# a newer sample');
    expect(await box.lastStart()).toContain('gateway-17');
  }, 60_000);

  it('replaces a configuration that nobody has changed by the newer sample', async () => {
    await install();
    await install('newer');
    expect(box.read(CONFIG)).toContain('# a newer sample');
  });

  it('stays disabled in an upgrade when the operator has disabled it', async () => {
    await install();
    await box.done(['systemctl', 'disable', '--now', SERVICE]);
    await install('newer');
    expect(await box.systemctl('is-enabled', SERVICE)).toBe('disabled');
    expect(await box.systemctl('is-active', SERVICE)).toBe('inactive');
  });

  it('can be installed over itself and configured repeatedly', async () => {
    await install();
    await install();
    for (let i = 0; i < 2; i++) await box.done(['/var/lib/dpkg/info/supersim-agent.postinst', 'configure', '']);
    await box.started();
    expect(await box.done(['dpkg', '--verify', 'supersim-agent'])).toBe('');
    expect(await box.show('NRestarts')).toBe('0');
  }, 60_000);

  it('never leaves its configuration readable by everybody, not even when half installed', async () => {
    await box.dpkg('--unpack', '/opt/packages/supersim-agent.deb');
    expect(await box.permissions(`${CONFIG}.dpkg-new`)).toBe('root:root 640');
    await box.dpkg('--configure', 'supersim-agent');
    expect(await box.permissions(CONFIG)).toBe('root:supersim-agent 640');
    await box.done(['rm', CONFIG]);
    await install('newer');
    expect(existsSync(box.path(CONFIG))).toBe(false);
    await box.dpkg('--force-confmiss', '--install', '/opt/packages/newer.deb');
    expect(await box.permissions(CONFIG)).toBe('root:supersim-agent 640');
  }, 60_000);

  /** Configures it anew, as dpkg does at an upgrade, but restarts nothing. */
  const configure = () => {
    const postinst = '/var/lib/dpkg/info/supersim-agent.postinst configure 0.1.0 2>&1';
    const script = `mount -t tmpfs tmpfs /run/systemd; DPKG_MAINTSCRIPT_PACKAGE=supersim-agent ${postinst}`;
    return box.done(['unshare', '--mount', 'sh', '-ec', script]);
  };
  const setPermissions = async (permissions: string, file = CONFIG) => {
    const [owner = '', mode = ''] = permissions.split(' ');
    await box.done(['sh', '-ec', 'chown "$1" "$3" && chmod "$2" "$3"', 'sh', owner, mode, file]);
  };

  it('makes a configuration that everybody can read private, and keeps any other mode and owner', async () => {
    await install();
    await box.done(['useradd', '--user-group', 'alice']);
    await box.done(['usermod', '--append', '--groups', 'staff', 'supersim-agent']);
    const cases = [
      ['root:root 644', 'root:supersim-agent 640'],
      ['root:root 664', 'root:supersim-agent 640'],
      ['root:root 604', 'root:supersim-agent 640'],
      ['root:supersim-agent 644', 'root:supersim-agent 640'],
      ['root:supersim-agent 666', 'root:supersim-agent 660'],
      ['supersim-agent:supersim-agent 644', 'supersim-agent:supersim-agent 640'],
      ['supersim-agent:adm 644', 'supersim-agent:adm 640'],
      ['root:staff 644', 'root:staff 640'],
      // Closed already.
      ...['root:root 600', 'root:root 660', 'supersim-agent:supersim-agent 600', 'root:adm 640', 'alice:alice 0'],
    ].map((states) => (typeof states === 'string' ? [states, states] : states));
    for (const [before = '', after] of cases) {
      await setPermissions(before);
      expect([before, await configure(), await box.permissions(CONFIG)]).toEqual([before, '', after]);
    }
    // The agent can read it only as everybody can.
    for (const open of ['root:adm 644', 'alice:alice 644', 'root:staff 604']) {
      await setPermissions(open);
      expect(await configure()).toContain(`chown root:supersim-agent ${CONFIG} && chmod 640 ${CONFIG}`);
      expect(await box.permissions(CONFIG)).toBe(open);
    }
    await setPermissions('root:root 644');
    await box.done(['dpkg-statoverride', '--add', 'root', 'root', '0644', CONFIG]);
    expect([await configure(), await box.permissions(CONFIG)]).toEqual(['', 'root:root 644']);
  }, 60_000);

  it('shows root the whole configuration, and tells other users to use sudo', async () => {
    await install();
    await box.started();
    const run = (user: string, ...args: string[]) => box.run(['supersim-agent', ...args], { user });
    const examine = async (user: string) => {
      const { findings }: Report = JSON.parse((await run(user, 'doctor', '--json')).stdout);
      return findings.filter(({ check }) => check === 'configuration');
    };
    expect(await examine('root')).toMatchObject([
      { severity: 'good', looked: `${CONFIG} (root:supersim-agent, mode 640)` },
    ]);
    expect(await examine('nobody')).toMatchObject([{ severity: 'note', code: 'config-unreadable' }]);
    for (const args of [
      ['config', 'check'],
      ['try', 'ping'],
    ]) {
      expect(await run('root', ...args)).toMatchObject({ code: 0 });
      expect(await run('supersim-agent', ...args)).toMatchObject({ code: 0 });
      const { code, stderr } = await run('nobody', ...args);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/^error config-unreadable: .*Run it with sudo/s)]);
    }
    const { code, stderr } = await run('nobody', 'status');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error control-forbidden: .*sudo/s)]);
  });

  it('makes dpkg’s copies of a configuration private, and follows no link', async () => {
    await install();
    const copies = ['old', 'dist'].map((end) => `${CONFIG}.dpkg-${end}`);
    for (const copy of copies) box.write(copy, '');
    box.write('/srv/config.yaml', '');
    await box.done(['ln', '--symbolic', '--force', '/srv/config.yaml', CONFIG]);
    await box.done(['ln', '--symbolic', '/srv/config.yaml', `${CONFIG}.dpkg-bak`]);
    expect(await configure()).toBe('');
    expect(await box.permissions(...copies)).toBe('root:root 640\nroot:root 640');
    expect(await box.permissions('/srv/config.yaml')).toBe('root:root 644');
  });

  it('is installed without being started where systemd does not run, as in a container', async () => {
    const install = 'mount -t tmpfs tmpfs /run/systemd; dpkg --install /opt/packages/supersim-agent.deb';
    await box.done(['unshare', '--mount', 'sh', '-ec', `${install}; exec supersim-agent config check`]);
    expect(await box.done(['id', '--user', '--name', 'supersim-agent'])).toBe('supersim-agent');
    expect(await box.permissions(CONFIG)).toBe('root:supersim-agent 640');
    expect(await box.systemctl('is-active', SERVICE)).toBe('inactive');
  });

  it('stops the agent when it is removed, and keeps the operator’s files for a new installation', async () => {
    await install();
    await box.started();
    expect(await processes()).toContain('supersim-agent');
    box.write(CONFIG, 'device: { id: gateway-17 }\n');
    await box.dpkg('--remove', 'supersim-agent');
    expect(await box.show('LoadState')).toBe('not-found');
    expect(await processes()).not.toContain('supersim-agent');
    expect(await box.done(['ls', '/var/lib/supersim-agent'])).toContain('journal.db');
    await install();
    await box.started();
    expect(await box.lastStart()).toContain('gateway-17');
  }, 60_000);

  it('keeps what secure has set in an upgrade, takes the table away when it is removed, and brings it back', async () => {
    await addCarrier(box);
    await install();
    const isLoaded = async () => (await box.run(['nft', 'list', 'table', 'inet', 'supersim_agent'])).code === 0;
    expect([await box.systemctl('is-enabled', RULES_UNIT), await isLoaded()]).toEqual(['disabled', false]);
    await box.done(['supersim-agent', 'secure']);
    await install('newer');
    expect([await box.systemctl('is-active', RULES_UNIT), await isLoaded()]).toEqual(['active', true]);
    await box.done(['systemctl', 'restart', 'nftables']);
    expect(await isLoaded()).toBe(true);
    await box.dpkg('--remove', 'supersim-agent');
    expect([await isLoaded(), existsSync(box.path(RULES_FILE)), existsSync(box.path(LOADED_FILE))]).toEqual([
      ...[false, true, false],
    ]);
    await install();
    expect([await box.systemctl('is-active', RULES_UNIT), await isLoaded()]).toEqual(['active', true]);
    await box.dpkg('--purge', 'supersim-agent');
    expect([await isLoaded(), existsSync(box.path(RULES_FILE))]).toEqual([false, false]);
    expect(await box.systemctl('list-unit-files', '--no-legend', 'supersim*')).toBe('');
  }, 60_000);

  it('leaves no file when it is purged', async () => {
    const [files, users] = [await box.done(['sh', '-c', FILES]), await box.done(['sh', '-c', USERS])];
    await install();
    await box.started();
    await box.done(['supersim-agent', 'secure', '--interface', 'wwan0']);
    box.write('/etc/supersim-agent/handlers.mjs', '');
    const meanwhile = await box.done(['sh', '-c', FILES]);
    expect(meanwhile).toContain('/var/lib/supersim-agent/journal.db f supersim-agent');
    await box.dpkg('--purge', 'supersim-agent');
    expect(await box.done(['sh', '-c', FILES])).toBe(files);
    expect(await box.done(['sh', '-c', USERS])).toBe(users);
    expect(await box.done(['sh', '-c', 'ls -d /run/supersim* /var/tmp/*supersim* || true'])).toBe('');
    expect(await box.systemctl('list-units', '--all', '--no-legend', 'supersim*')).toBe('');
    await box.done(['dpkg', '--purge', 'supersim-agent']);
  }, 60_000);
});
