import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  changeUnit,
  installAgent,
  linkDown,
  linkUp,
  openGateway,
  property,
  startAgent,
} from '../../support/box-agent.js';
import { needs } from '../../support/needs.js';
import { BOX_TIMEOUT_MS, bootBox, type SystemdBox } from '../../support/systemd-box.js';

const AGENT = 'supersim-agent';
const RUNS = '/var/lib/supersim-agent/runs';

/** Leaves a line when it begins and when it ends: the second parameter is how many seconds that takes. */
const act = (idempotent: boolean) => ({
  program: [
    '/bin/sh',
    '-c',
    `echo begin $SUPERSIM_ARG_1 >>${RUNS}; sleep $SUPERSIM_ARG_2; echo end $SUPERSIM_ARG_1 >>${RUNS}`,
  ],
  idempotent,
});

describe.skipIf(needs('root', 'unshare', 'mmdebstrap'))(
  'the life of the service under systemd',
  { timeout: 60_000 },
  () => {
    let box: SystemdBox;
    beforeAll(async () => {
      box = await bootBox();
      await box.copy('test/support/wedge-handlers.mjs', '/etc/supersim-agent/wedge.mjs');
      await installAgent(box, {
        security: { unprotected: 'allow' },
        limits: { running: 2, stop: '3s' },
        handlers: { 'act.once': act(false), 'act.again': act(true) },
        modules: ['/etc/supersim-agent/wedge.mjs'],
      });
      await box.done(['useradd', '--groups', AGENT, 'alice']);
      // A stop is to take less than it does where it waits for a command.
      await changeUnit(box, { times: 'RestartSec=1\nTimeoutStopSec=2' });
    }, BOX_TIMEOUT_MS);
    afterAll(() => box.stop());

    const state = () => property(box, 'ActiveState');
    const becomes = (wanted: string) => expect.poll(state, { interval: 100 }).toBe(wanted);
    const runs = () => (existsSync(box.path(RUNS)) ? box.read(RUNS).split('\n').slice(0, -1) : []);
    const results = async () => [await property(box, 'Result'), await property(box, 'ExecMainStatus')];
    const processes = async () => (await box.done(['sh', '-c', 'cat /proc/[0-9]*/comm'])).split('\n');
    /** The line of `systemctl status` with what the agent tells. */
    const status = async () => /^ +Status: "(.*)"$/m.exec((await box.run(['systemctl', 'status', AGENT])).stdout)?.[1];
    const logged = async (text: string) => (await box.journal(AGENT)).some((line) => line.includes(text));
    const comesToLog = (text: string) => expect.poll(() => logged(text), { interval: 100 }).toBe(true);

    it('becomes active when a probe has come back through its pipeline, and not before', async () => {
      const gateway = await openGateway(box);
      await changeUnit(box, { table: 'Environment=TABLE=throws' });
      await box.done(['systemctl', 'start', '--no-block', AGENT]);
      await comesToLog('not ready: the probe failed');
      expect(await state()).toBe('activating');
      await gateway.send('#1 table works');
      await gateway.reply(/^#1 ok/);
      await becomes('active');
      await changeUnit(box, { table: '' });
    });

    it('becomes active without any link, and answers once there is one', async () => {
      await linkDown(box);
      await startAgent(box);
      expect(await state()).toBe('active');
      expect(await status()).toMatch(/^udp down: \S.*; no command yet; 0 running, 0 waiting, 0 in the outbox$/);
      await linkUp(box);
      await expect.poll(() => box.done(['supersim-agent', 'status'])).toContain('100.64.7.7');
      const gateway = await openGateway(box);
      await gateway.send('#1 ping');
      expect(await gateway.reply(/^#1/)).toBe('#1 ok pong');
    });

    it('lets members of its group read its status and send, and nobody else', async () => {
      const gateway = await openGateway(box);
      const asks = [['status'], ['metrics'], ['send', '--json', 'door', '{"open":true}']];
      for (const ask of asks) {
        expect(await box.run(['supersim-agent', ...ask], { user: 'alice' })).toMatchObject({ code: 0 });
        const refused = await box.run(['supersim-agent', ...ask], { user: 'nobody' });
        expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('control-forbidden') });
      }
      await gateway.reply(/"event":"door"/);
      expect(gateway.replies()).toHaveLength(1);
    });

    it('shows its state on one line of systemctl status', async () => {
      const wanted = /^udp up, 100\.64\.7\.7; last command ping done at (\S+); 0 running, 0 waiting, 0 in the outbox$/;
      await expect.poll(status).toMatch(wanted);
      const [, at = ''] = wanted.exec((await status()) ?? '') ?? [];
      expect(Math.abs(Date.now() - Date.parse(at))).toBeLessThan(60_000);
    });

    it('waits for a running command when it stops, and then answers its sender', async () => {
      const gateway = await openGateway(box);
      await startAgent(box);
      await gateway.send('#1 act.once 1 100');
      await expect.poll(runs).toEqual(['begin 1']);
      const begun = performance.now();
      const stopped = box.done(['systemctl', 'stop', AGENT]);
      await expect.poll(status).toBe('stopping');
      await gateway.send('#2 ping');
      await stopped;
      expect(performance.now() - begun).toBeGreaterThan(3000);
      expect(gateway.replies()).toEqual([expect.stringMatching(/^#1 error handler-failed /)]);
      expect(await results()).toEqual(['success', '0']);
      expect(await processes()).not.toContain('sleep');
      // The journal has what became of it.
      await startAgent(box);
      await gateway.send('#1 act.once 1 100');
      await gateway.reply(/^#1 repeat error handler-failed /);
      expect(runs()).toEqual(['begin 1']);
    });

    it('is restarted when it was killed: nothing runs twice, and repeats get the same reply', async () => {
      const gateway = await openGateway(box);
      await gateway.send('#10 act.once 10 0');
      await gateway.reply(/^#10 ok/);
      const before = runs();
      await gateway.send('#11 act.once 11 100');
      await gateway.send('#12 act.again 12 5');
      await expect.poll(() => runs().slice(before.length).sort()).toEqual(['begin 11', 'begin 12']);
      // Both places are taken; and what may run twice is journalled only once it is slow.
      await gateway.send('#13 act.once 13 0');
      await expect.poll(() => box.done(['supersim-agent', 'commands', 'ls'])).toMatch(/act\.again/);
      const pid = await property(box, 'MainPID');
      await box.done(['systemctl', 'kill', '--kill-whom=main', '--signal=KILL', AGENT]);

      await gateway.reply(/^#11 error interrupted /);
      await Promise.all([gateway.reply(/^#12 ok/), gateway.reply(/^#13 ok/)]);
      expect(await property(box, 'MainPID')).not.toBe(pid);
      for (const id of [10, 11, 13]) await gateway.send(`#${id} act.once ${id} ${id === 11 ? 100 : 0}`);
      await Promise.all([10, 11, 13].map((id) => gateway.reply(new RegExp(`^#${id} repeat `))));
      expect(runs().slice(before.length).sort()).toEqual(
        ['begin 11', 'begin 12', 'begin 12', 'begin 13', 'end 12', 'end 13'].sort(),
      );
      expect(await processes()).not.toContain('sleep');
    });

    it('restarts itself on command, which is done when the agent is back; running commands may finish', async () => {
      const gateway = await openGateway(box);
      const pid = await property(box, 'MainPID');
      await gateway.send('#20 act.once 20 100');
      await gateway.send('#21 agent.restart');
      await gateway.reply(/^#21 ok/);
      expect(gateway.replies()).toEqual([
        expect.stringMatching(/^#21 error running /),
        expect.stringMatching(/^#20 error handler-failed /),
        '#21 ok',
      ]);
      expect(await property(box, 'MainPID')).not.toBe(pid);
    });

    it('stops at once while it is starting', async () => {
      box.write(
        '/etc/supersim-agent/wedge.mjs',
        'console.log("on the way"); await new Promise((end) => setTimeout(end, 60_000));',
      );
      await box.done(['systemctl', 'restart', '--no-block', AGENT]);
      await comesToLog('on the way');
      expect(await state()).toBe('activating');
      const begun = performance.now();
      await box.done(['systemctl', 'stop', AGENT]);
      expect(performance.now() - begun).toBeLessThan(3000);
      expect(await results()).toEqual(['success', '0']);
    });
  },
);
