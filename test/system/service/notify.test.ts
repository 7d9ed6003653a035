import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startAgent } from '../../agent/cli/support.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { listenToNotices } from '../../support/notify-socket.js';

/** systemd waits so long for a sign of life, of which three come in it. */
const WATCHDOG_MS = 1500;
const SIGN = 'WATCHDOG=1';
const READY = 'READY=1';

const wedgeHandlers = () =>
  writeFile(temporaryFolder(), 'wedge.mjs', readFileSync(resolve('test/support/wedge-handlers.mjs')));

/** An agent with what systemd sets for a service, and a socket where systemd's would be. */
async function startService(env: Record<string, string> = {}, config = '', args: readonly string[] = []) {
  const systemd = await listenToNotices();
  const started = await startAgent(`modules: [${wedgeHandlers()}]\n${config}`, {
    args,
    env: { NOTIFY_SOCKET: systemd.path, WATCHDOG_USEC: String(WATCHDOG_MS * 1000), ...env },
  });
  const signs = () => systemd.count(SIGN);
  return {
    ...started,
    systemd,
    /** Waits until the agent goes on giving signs of life. */
    lives: () => systemd.times(SIGN, signs() + 3),
    /** Waits until it gives none any more, for longer than systemd would wait. */
    async isSilent(): Promise<void> {
      // What had been begun comes to its end.
      await rest(WATCHDOG_MS);
      const before = signs();
      await rest(WATCHDOG_MS * 1.5);
      expect(signs()).toBe(before);
    },
  };
}

describe.skipIf(needs('python3', 'systemd-notify'))('systemd is told', () => {
  test('that the agent is ready, its status, that it is alive and that it stops; the probe leaves no trace', async () => {
    const { systemd, agent, peer, device, lives, log } = await startService();
    await lives();
    const idle = `STATUS=udp up, ${device.address}; no command yet; 0 running, 0 waiting, 0 in the outbox`;
    expect(systemd.messages()[0]).toEqual([READY, idle]);
    expect(log().filter(({ msg }) => msg === 'command')).toEqual([]);

    const before = Math.floor(Date.now() / 1000) * 1000;
    expect(String(await peer.ask('#1 relay.set on', device))).toMatch(/^#1 error unknown-command /);
    await expect.poll(systemd.status).not.toBe(idle);
    const [, at = ''] = /^STATUS=.*; last command relay\.set refused \(unknown-command\) at (\S+); 0 running/.exec(
      systemd.status() ?? '',
    ) ?? ['', ''];
    expect(Date.parse(at)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(at)).toBeLessThanOrEqual(Date.now() + 1000);

    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
    expect(systemd.messages().at(-1)).toEqual(['STOPPING=1', 'STATUS=stopping', 'EXTEND_TIMEOUT_USEC=30000000']);
    expect(systemd.count(READY)).toBe(1);
    expect(log().at(-1)).toMatchObject({
      msg: 'agent stopped',
      received: 1,
      sent: 1,
      outcomes: { done: 0, refused: 1 },
    });
  }, 30_000);

  test('that it is ready without a link, and why the link is down', async () => {
    const { systemd, lives } = await startService({}, '', ['--address', 'absent0']);
    await lives();
    expect(systemd.messages()[0]).toEqual([READY, expect.stringMatching(/^STATUS=udp down: \S/)]);
  });

  test('nothing while the probe fails at the start, and that it is ready once the probe succeeds', async () => {
    const { systemd, agent, peer, device, lives } = await startService({ TABLE: 'throws' });
    await agent.line(/"not ready: the probe failed"/);
    await rest(WATCHDOG_MS);
    expect(systemd.messages()).toEqual([]);
    expect(String(await peer.ask('#1 table works', device))).toBe('#1 ok');
    await lives();
    expect(systemd.messages()[0]).toEqual([READY, expect.any(String)]);
  });

  test('that it stops, also while it starts', async () => {
    const systemd = await listenToNotices();
    const module = writeFile(
      temporaryFolder(),
      'slow.mjs',
      'console.log("loading"); await new Promise((end) => setTimeout(end, 60_000));',
    );
    const env = { NOTIFY_SOCKET: systemd.path };
    const { agent } = await startAgent(`modules: [${module}]\nlimits: {stop: 1min}`, { env, ready: /loading/ });
    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
    expect(systemd.messages()).toEqual([['STOPPING=1', 'STATUS=stopping', 'EXTEND_TIMEOUT_USEC=80000000']]);
  });

  test('that it is alive while long handlers take all slots and the queue is full', async () => {
    const { peer, device, lives } = await startService({}, 'limits: {running: 1, waiting: 1, stop: 0s}');
    await peer.send('#1 hold', device);
    await peer.send('#2 hold', device);
    expect(String(await peer.ask('#3 hold', device))).toMatch(/^#3 (unrecorded )?error busy /);
    await lives();
  });

  test('nothing while its process is stopped, and that it is alive when the process continues', async () => {
    const { agent, lives, isSilent } = await startService();
    await lives();
    agent.kill('SIGSTOP');
    await isSilent();
    agent.kill('SIGCONT');
    await lives();
  });

  test('nothing while its event loop is busy', async () => {
    const { peer, device, lives, isSilent } = await startService();
    await lives();
    await peer.send('spin', device);
    await isSilent();
  });

  test.each(['hangs', 'throws'])(
    'nothing while its table of handlers %s, although other commands are answered',
    async (how) => {
      const { agent, peer, device, lives, isSilent } = await startService();
      await lives();
      await peer.ask(`#1 table ${how}`, device);
      await isSilent();
      expect(String(await peer.ask('#2 echo x', device))).toMatch(/^#2 ok/);
      await agent.line(/"watchdog: probe failed, no keep-alive sent"/);
    },
  );
});

describe('an agent without systemd', () => {
  /** A `systemd-notify` that leaves its pid and then does what the test says; it is found first. */
  function fakeNotify(then: string) {
    const folder = temporaryFolder();
    const mark = join(folder, 'pid');
    writeScript(`echo $$ >${mark}.new; mv ${mark}.new ${mark}; ${then}`, folder, 'systemd-notify');
    const pid = () => (existsSync(mark) ? Number(readFileSync(mark, 'utf8')) : undefined);
    return { env: { PATH: `${folder}:${process.env['PATH']}` }, pid };
  }

  test('sends no notification and works the same', async () => {
    const { env, pid } = fakeNotify('exit 0');
    const { agent, peer, device } = await startAgent('', { env: { ...env, WATCHDOG_USEC: '30000' } });
    await rest(300);
    expect(String(await peer.ask('#1 ping', device))).toBe('#1 ok pong');
    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
    expect(pid()).toBeUndefined();
  });

  test('but with its socket and a failing systemd-notify logs this and continues', async () => {
    const { env, pid } = fakeNotify('echo no luck >&2; exit 1');
    const { agent, peer, device } = await startAgent('', { env: { ...env, NOTIFY_SOCKET: '/nowhere' } });
    await agent.line(/"systemd-notify exited with 1: no luck".*"systemd-notify failed"/);
    expect(pid()).toBeGreaterThan(0);
    expect(String(await peer.ask('#1 ping', device))).toBe('#1 ok pong');
    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
  });

  test('but with a systemd-notify that hangs continues and stops in time', async () => {
    const { env, pid } = fakeNotify('exec sleep 30');
    const { agent, peer, device } = await startAgent('', { env: { ...env, NOTIFY_SOCKET: '/nowhere' } });
    await expect.poll(pid).toBeGreaterThan(0);
    const child = pid() ?? 0;
    onTestFinished(() => void process.kill(child, 'SIGKILL'));
    expect(String(await peer.ask('#1 ping', device))).toBe('#1 ok pong');
    const begun = performance.now();
    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
    expect(performance.now() - begun).toBeLessThan(5000);
    expect(pid()).toBe(child);
  });
});
