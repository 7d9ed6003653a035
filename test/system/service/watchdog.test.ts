import { execFileSync } from 'node:child_process';
import { setTimeout as rest } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, changeUnit, installAgent, property, send, startAgent } from '../../support/box-agent.js';
import { needs } from '../../support/needs.js';
import { BOX_TIMEOUT_MS, bootBox, type SystemdBox } from '../../support/systemd-box.js';

const AGENT = 'supersim-agent';
/** systemd waits so long for a sign of life: 60 s in the unit that ships. */
const WATCHDOG_S = 3;
const PLACES = 2;
const STATE = '/var/lib/supersim-agent';
const TIMED_OUT = 'Watchdog timeout';
const WEDGED = "Failed with result 'watchdog'";

describe.skipIf(needs('root', 'unshare', 'mmdebstrap'))('the watchdog under systemd', { timeout: 60_000 }, () => {
  let box: SystemdBox;
  beforeAll(async () => {
    box = await bootBox();
    await box.copy('test/support/wedge-handlers.mjs', '/etc/supersim-agent/wedge.mjs');
    await installAgent(box, {
      limits: { running: PLACES, stop: '0s' },
      modules: ['/etc/supersim-agent/wedge.mjs'],
    });
    await changeUnit(box, { times: `RestartSec=1\nWatchdogSec=${WATCHDOG_S}` });
    await startAgent(box);
  }, BOX_TIMEOUT_MS);
  afterAll(() => box.stop());

  const restarts = async () => Number(await property(box, 'NRestarts'));
  const wedgings = async () => (await box.journal(AGENT)).filter((line) => line.includes(WEDGED)).length;

  /** Waits until systemd has found it wedged, and it answers again. */
  async function comesBack(before: number, pid: string): Promise<void> {
    await expect.poll(restarts, { interval: 100 }).toBe(before + 1);
    await expect.poll(() => property(box, 'ActiveState'), { interval: 100 }).toBe('active');
    expect(await property(box, 'MainPID')).not.toBe(pid);
    expect(await ask(box, '#1 ping')).toEqual(['#1 ok pong']);
  }

  /** Moves the state folder to a disk of its own, which can be made to hang. */
  async function useDisk(): Promise<void> {
    const image = '/tmp/disk';
    execFileSync('truncate', ['--size=64M', box.path(image)]);
    execFileSync('mkfs.ext4', ['-q', box.path(image)]);
    await box.done(['mknod', '/dev/loop-control', 'c', '10', '237']);
    for (let number = 0; number < 8; number++) await box.done(['mknod', `/dev/loop${number}`, 'b', '7', `${number}`]);
    await box.done(['mount', '-o', 'loop', image, STATE]);
    await startAgent(box);
  }

  it.each([
    ['stands still', () => box.done(['systemctl', 'kill', '--kill-whom=main', '--signal=STOP', AGENT])],
    ['has a busy event loop', () => send(box, 'spin')],
    ['has a table of handlers that hangs', () => ask(box, '#1 table hangs')],
  ])(
    'ends an agent that %s, and systemd starts another',
    async (_how, wedge) => {
      const [before, pid, wedged] = [await restarts(), await property(box, 'MainPID'), await wedgings()];
      await wedge();
      await comesBack(before, pid);
      expect(await wedgings()).toBe(wedged + 1);
    },
    40_000,
  );

  it.skipIf(needs('mkfs.ext4', 'loop devices'))(
    'ends an agent whose storage worker hangs in the disk, and systemd starts another',
    async () => {
      await useDisk();
      const [before, pid, wedged] = [await restarts(), await property(box, 'MainPID'), await wedgings()];
      await box.done(['fsfreeze', '--freeze', STATE]);
      try {
        await send(box, '#1 once');
        // Only what needs the disk waits for it.
        expect(await ask(box, '#2 ping')).toEqual(['#2 ok pong']);
        const timeouts = async () => (await box.journal(AGENT)).filter((line) => line.includes(TIMED_OUT)).length;
        await expect.poll(timeouts, { interval: 100 }).toBe(wedged + 1);
      } finally {
        // Until then not even SIGKILL ends a thread that waits for the disk.
        await box.done(['fsfreeze', '--unfreeze', STATE]);
      }
      await comesBack(before, pid);
      expect(await wedgings()).toBe(wedged + 1);
    },
    60_000,
  );

  it('leaves what the doctor reports', async () => {
    const { stdout } = await box.run(['supersim-agent', 'doctor', '--json']);
    const { findings } = JSON.parse(stdout);
    expect(findings).toContainEqual(expect.objectContaining({ check: 'watchdog', severity: 'warning' }));
  });

  it('does not restart an agent in which long handlers take all slots', async () => {
    const [before, pid] = [await restarts(), await property(box, 'MainPID')];
    for (let i = 0; i <= PLACES; i++) await send(box, 'hold');
    await rest(2 * WATCHDOG_S * 1000);
    expect([await restarts(), await property(box, 'MainPID')]).toEqual([before, pid]);
    const { running, waiting } = JSON.parse(await box.done(['supersim-agent', 'status', '--json']));
    expect({ running, waiting }).toEqual({ running: PLACES, waiting: 1 });
  });
});
