import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import manifest from '../../../package.json' with { type: 'json' };
import { addCarrier, linkDown, linkUp, openGateway } from '../../support/box-agent.js';
import { needs } from '../../support/needs.js';
import {
  buildPackages,
  OLD_PACKAGE_TIMEOUT_MS,
  OWN_ARCHITECTURE,
  oldPackage,
  packageFile,
} from '../../support/package.js';
import { bootPackageBox, CONFIG, type PackageBox, SERVICE } from '../../support/package-box.js';
import { BOX_TIMEOUT_MS } from '../../support/systemd-box.js';

const RUNS = '/var/lib/supersim-agent/runs';
/** As an operator of version 0.1.0 has written it. */
const OPERATORS = `device: { id: gateway-17 }
modem: { pin: "4711" }
handlers:
  count:
    program: [/bin/sh, -c, 'echo run >>${RUNS}; echo counted']
`;
const HANDED_OVER = 'root:supersim-agent 640';

describe.skipIf(needs('root', 'unshare', 'mmdebstrap', 'dpkg-deb', 'history back to 0.1.0'))(
  'an upgrade of the package of version 0.1.0 on a Debian 13',
  { timeout: 90_000 },
  () => {
    let folder = '';
    let box: PackageBox;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'supersim-test-'));
      copyFileSync(await oldPackage('0.1.0'), join(folder, 'old.deb'));
      await buildPackages(folder, [OWN_ARCHITECTURE]);
      renameSync(packageFile(folder, OWN_ARCHITECTURE), join(folder, 'new.deb'));
    }, OLD_PACKAGE_TIMEOUT_MS);
    afterAll(() => rmSync(folder, { recursive: true }));
    beforeEach(async () => {
      box = await bootPackageBox(folder);
      await box.install('old');
      await box.started();
      expect(await box.permissions(CONFIG)).toBe('root:root 644');
    }, BOX_TIMEOUT_MS);
    afterEach(() => box.stop());

    const status = async () => JSON.parse(await box.done(['supersim-agent', 'status', '--json']));
    const configure = async (text: string) => {
      box.write(CONFIG, text);
      await box.done(['systemctl', 'restart', SERVICE]);
      await box.started();
    };
    const upgrade = async () => {
      const { pid, version } = await status();
      expect(version).toBe('0.1.0');
      await box.install('new');
      await box.started();
      const after = await status();
      expect(after.version).toBe(manifest.version);
      expect(after.pid).not.toBe(pid);
    };

    it('keeps the operator’s configuration, the journal and the outbox', async () => {
      await addCarrier(box);
      await configure(OPERATORS);
      const gateway = await openGateway(box);
      await gateway.send('#7 count');
      await gateway.reply(/^#7 ok counted/);
      await linkDown(box);
      await expect.poll(status).toMatchObject({ link: { links: [{ up: false }] } });
      const event = ['supersim-agent', 'send', '--json', 'door.opened', '{"door":3}'];
      expect(await box.done(event)).toMatch(/^waiting: .*on the disk$/);

      await upgrade();
      expect(box.read(CONFIG)).toBe(OPERATORS);
      expect(await box.permissions(CONFIG, `${CONFIG}.dpkg-dist`)).toBe(`${HANDED_OVER}\nroot:root 640`);
      expect(await box.lastStart()).toContain('gateway-17');
      expect(await status()).toMatchObject({ outbox: { entries: 1 } });

      await linkUp(box);
      await gateway.reply(/"event":"door\.opened"/);
      await expect.poll(status).toMatchObject({ outbox: { entries: 0 } });
      await gateway.send('#7 count');
      await gateway.reply(/^#7 repeat ok counted/);
      expect(box.read(RUNS)).toBe('run\n');
    });

    it('replaces an unchanged configuration by the newer sample, and makes it private', async () => {
      await upgrade();
      expect(box.read(CONFIG)).toBe(readFileSync('systemd/config.yaml', 'utf8'));
      expect(await box.permissions(CONFIG)).toBe(HANDED_OVER);
      expect(await box.dpkg('--verify', 'supersim-agent')).toBe('');
      const news = await box.done(['zcat', '/usr/share/doc/supersim-agent/NEWS.Debian.gz']);
      expect(news).toMatch(/^supersim-agent \(0\.2\.0\) /);
      expect(news).toContain('security: { unprotected: allow }');
    });

    it('makes the configuration private also when the operator chooses the newer sample', async () => {
      box.write(CONFIG, OPERATORS);
      await box.dpkg('--force-confnew', '--install', '/opt/packages/new.deb');
      expect(box.read(`${CONFIG}.dpkg-old`)).toBe(OPERATORS);
      expect(await box.permissions(CONFIG, `${CONFIG}.dpkg-old`)).toBe(`${HANDED_OVER}\nroot:root 640`);
    });

    it('does not change a configuration that the operator has already made private', async () => {
      await box.done(['chown', 'supersim-agent:supersim-agent', CONFIG]);
      await box.done(['chmod', '600', CONFIG]);
      await configure(OPERATORS);
      await upgrade();
      expect(await box.permissions(CONFIG)).toBe('supersim-agent:supersim-agent 600');
      expect(await box.lastStart()).toContain('gateway-17');
    });
  },
);
