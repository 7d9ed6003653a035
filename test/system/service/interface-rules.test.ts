import { existsSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Report } from '../../../agent/doctor/examine.js';
import { LOADED_FILE, RULES_FILE, RULES_UNIT } from '../../../agent/packet-filter/ruleset.js';
import { ask, DEVICE, installAgent, linkDown, linkUp, startAgent } from '../../support/box-agent.js';
import { needs } from '../../support/needs.js';
import { BOX_TIMEOUT_MS, bootBox, type SystemdBox } from '../../support/systemd-box.js';

const AGENT = 'supersim-agent';
const NFTABLES = 'nftables.service';
const MARKS = '/var/lib/supersim-agent/marks';
/** Rules of the operator's own. As Debian's sample, they begin with an empty packet filter. */
const OTHER_RULES = `#!/usr/sbin/nft -f
flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy accept;
	}
}
`;

describe.skipIf(needs('root', 'unshare', 'mmdebstrap'))(
  'the rules for the cellular interface',
  { timeout: 60_000 },
  () => {
    let box: SystemdBox;
    beforeAll(async () => {
      box = await bootBox();
      await installAgent(box, {
        handlers: { mark: { program: ['/bin/sh', '-c', `echo "$SUPERSIM_ARG_1" >>${MARKS}`] } },
      });
      box.write('/etc/nftables.conf', OTHER_RULES, 0o755);
      await startAgent(box);
      await box.done(['systemctl', 'enable', AGENT]);
    }, BOX_TIMEOUT_MS);
    afterAll(() => box.stop());
    beforeEach(() => secure('--interface', 'wwan0'));

    const secure = (...args: string[]) => box.done([AGENT, 'secure', ...args]);
    const hasTable = async (name: string) => (await box.run(['nft', 'list', 'table', 'inet', name])).code === 0;
    const isLoaded = () => hasTable('supersim_agent');
    const systemctl = (...args: string[]) => box.done(['systemctl', ...args]);
    const show = async (unit: string, name: string) => systemctl('show', '--value', `--property=${name}`, unit);
    const enforcement = async () => /^interface +(.*)$/m.exec(await box.done([AGENT, 'status']))?.[1] ?? '';
    const becomes = (wanted: RegExp) => expect.poll(enforcement, { interval: 200 }).toMatch(wanted);
    const examine = async (user: string) => {
      const { findings }: Report = JSON.parse((await box.run([AGENT, 'doctor', '--json'], { user })).stdout);
      return findings.filter(({ check }) => check === 'interface-rules');
    };

    it('are loaded at once, and let the network in but no user of the device', async () => {
      await box.done(['bash', '-c', `printf 'mark user' >/dev/udp/${DEVICE}/6969`], { user: 'nobody' });
      expect(await ask(box, '#1 mark gateway')).toEqual(['#1 ok']);
      expect(box.read(MARKS)).toBe('gateway\n');
      await becomes(/^enforced, rules for wwan0 of \S+: a datagram from this host was dropped$/);
      expect(await secure()).toMatch(
        /^Only wwan0 reaches UDP port 6969, .*\nThe running agent: enforced, rules for wwan0 of \S+: .* was dropped\.$/,
      );
      expect(await examine('root')).toMatchObject([
        { severity: 'good', found: 'only wwan0 reaches UDP 6969' },
        { severity: 'note', found: expect.stringMatching(/wwan0 \d \(.*it alone protects no port/) },
      ]);
      expect((await examine(AGENT))[0]).toMatchObject({ severity: 'good', found: expect.stringMatching(/^enforced/) });
    });

    it('are for all configured ports, and follow the interface when it comes back', async () => {
      const rules = await box.done(['nft', 'list', 'table', 'inet', 'supersim_agent']);
      expect(rules).toContain('iifname != "wwan0" udp dport 6969');
      await linkDown(box);
      await becomes(/^unknown, .*: rules were loaded, but not tested yet$/);
      await linkUp(box);
      await becomes(/^enforced/);
      expect(await ask(box, '#2 ping')).toEqual(['#2 ok pong']);
    });

    it('are loaded before the agent when the device starts', async () => {
      await systemctl('stop', AGENT, RULES_UNIT, NFTABLES);
      await box.done(['nft', 'flush', 'ruleset']);
      expect([await isLoaded(), existsSync(box.path(LOADED_FILE))]).toEqual([false, false]);
      // As at a boot, all are started in one go.
      box.write('/etc/systemd/system/boot.target', `[Unit]\nWants=${AGENT}.service ${RULES_UNIT} ${NFTABLES}\n`);
      await systemctl('daemon-reload');
      await systemctl('start', 'boot.target');
      await expect.poll(() => show(AGENT, 'ActiveState')).toBe('active');
      expect(await hasTable('filter')).toBe(true);
      expect(await isLoaded()).toBe(true);
      const start = async (unit: string) => Number(await show(unit, 'ExecMainStartTimestampMonotonic'));
      const [filter, rules, agent] = await Promise.all([NFTABLES, RULES_UNIT, AGENT].map(start));
      expect([filter, rules, agent].toSorted()).toEqual([filter, rules, agent]);
      await becomes(/^enforced/);
    });

    it.each([['start'], ['reload'], ['restart'], ['stop']])(
      'are there after systemctl %s nftables, which empties the packet filter',
      async (action) => {
        await systemctl('reset-failed', NFTABLES);
        if (action === 'start') await systemctl('stop', NFTABLES);
        else await systemctl('restart', NFTABLES);
        await systemctl(action, NFTABLES);
        expect(await hasTable('filter')).toBe(action !== 'stop');
        expect(await isLoaded()).toBe(true);
        expect(await show(RULES_UNIT, 'ActiveState')).toBe('active');
      },
    );

    it('are missed by the agent and the doctor when somebody deletes them', async () => {
      await box.done(['nft', 'flush', 'ruleset']);
      await startAgent(box);
      await becomes(/^not enforced, rules for wwan0 of .*: the rules were loaded, but are gone/);
      expect((await examine('root'))[0]).toMatchObject({
        severity: 'warning',
        found: expect.stringMatching(/^there is none/),
      });
      const [, remedy = ''] = /run `sudo (.*)`/.exec(await enforcement()) ?? [];
      await box.done(remedy.split(' '));
      await becomes(/^enforced/);
    });

    it('are not those of another interface: the agent and the doctor say so', async () => {
      await secure('--interface', 'wwan7');
      await becomes(
        /^not enforced, .*: the rules are for wwan7, and the agent listens on wwan0; run `sudo .* --interface wwan0`$/,
      );
      expect((await examine('root'))[0]).toMatchObject({
        severity: 'error',
        found: expect.stringMatching(/also drops what arrives by wwan0/),
      });
    });

    it('are removed by --undo, with their file and the unit’s activation, and can be removed twice', async () => {
      for (let i = 0; i < 2; i++) {
        expect(await secure('--undo')).toBe('The rules are removed.');
        expect([await isLoaded(), existsSync(box.path(RULES_FILE)), existsSync(box.path(LOADED_FILE))]).toEqual([
          ...[false, false, false],
        ]);
        expect((await box.run(['systemctl', 'is-enabled', RULES_UNIT])).stdout.trim()).toBe('disabled');
      }
      await systemctl('restart', NFTABLES);
      expect(await isLoaded()).toBe(false);
      await becomes(
        /^not enforced: every user and network of this host reaches the ports; run `sudo supersim-agent secure/,
      );
    });

    it('are only printed with --dry-run, which changes nothing', async () => {
      await secure('--undo');
      expect(await secure('--interface', 'wwan0', '--dry-run')).toMatch(
        /iifname != "wwan0" udp dport \{ 6969 \} counter drop/,
      );
      expect([await isLoaded(), existsSync(box.path(RULES_FILE))]).toEqual([false, false]);
    });

    it('are refused with what to do: without root, without nft, without the unit, and when nft refuses them', async () => {
      const codeOf = async (user: string, ...command: string[]) => {
        const { code, stderr } = await box.run(command, { user });
        return [code, /^error (\S+): /m.exec(stderr)?.[1]];
      };
      expect(await codeOf(AGENT, AGENT, 'secure', '--interface', 'wwan0')).toEqual([1, 'root-required']);
      expect(await codeOf(AGENT, AGENT, 'secure', '--undo')).toEqual([1, 'root-required']);
      const before = box.read(RULES_FILE);
      const withChange = (change: string) => ['unshare', '--mount', 'sh', '-ec', `${change}; exec ${AGENT} secure`];
      expect(await codeOf('root', ...withChange('mount -t tmpfs tmpfs /usr/sbin'))).toEqual([1, 'nft-missing']);
      box.write('/opt/nft', '#!/bin/sh\n[ "$1" = --version ]\n', 0o755);
      expect(await codeOf('root', ...withChange('mount --bind /opt/nft /usr/sbin/nft'))).toEqual([
        1,
        'rules-not-loaded',
      ]);
      expect(box.read(RULES_FILE)).toBe(before);
      expect(existsSync(box.path(`${RULES_FILE}.new`))).toBe(false);
      await secure('--undo');
      const unit = `/etc/systemd/system/${RULES_UNIT}`;
      await box.done(['sh', '-ec', `mv ${unit} /opt; systemctl daemon-reload`]);
      expect(await codeOf('root', AGENT, 'secure', '--interface', 'wwan0')).toEqual([1, 'unit-missing']);
      expect(existsSync(box.path(RULES_FILE))).toBe(false);
      expect(await secure('--undo')).toBe('The rules are removed.');
      await box.done(['sh', '-ec', `mv /opt/${RULES_UNIT} ${unit}; systemctl daemon-reload`]);
    });
  },
);
