import { chmodSync, cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../agent/base/moment.js';
import { openOutbox } from '../../../agent/command/outbox/outbox.js';
import { journal as journalCheck } from '../../../agent/doctor/checks/files/journal.js';
import { agent as agentCheck } from '../../../agent/doctor/checks/service/agent.js';
import { askText } from '../../../agent/service/control/client.js';
import { openTestDatabase } from '../../agent/command/journal/support.js';
import { asAfterKill, heldHandler } from '../../agent/command/wired-support.js';
import { run } from '../../agent/doctor/support.js';
import { unansweringFolder } from '../../agent/storage/support.js';
import { startedWithGateway } from '../../agent/support.js';
import { linesOf } from '../../support/device.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { needs } from '../../support/needs.js';
import { commandBytes, emptyDisk, openSender, startOn } from './agent-on-disk.js';

const HEALTH = '{"id":1,"method":"health"}';

/** A folder as a killed agent left it while command 1 ran, and an event waited in the outbox. */
async function killedFolder() {
  const held = heldHandler();
  const first = await startedWithGateway({
    config: { state: { folder: temporaryFolder() } },
    handlers: [held.handler],
  });
  const { agent, gateway, device } = first;
  await gateway.send('#1 hold', device);
  await held.running;
  const folder = temporaryFolder();
  cpSync(asAfterKill(agent.config.state.folder ?? ''), folder, { recursive: true });
  held.release('too late');
  expect(`${(await gateway.next()).bytes}`).toBe('#1 ok too late');
  await agent.stop();
  const database = await openTestDatabase(folder);
  const event = {
    bytes: Buffer.from('event'),
    destination: gateway.endpoint,
    port: device.port,
    kind: 'event',
  } as const;
  (await openOutbox(database, systemClock())).push({ ...event, expiresAt: Date.now() + 60_000 });
  await database.close();
  return { folder, gateway };
}

describe('an agent that starts on a disk that does not answer', () => {
  it('answers what needs no journal and says so; when the disk answers, it goes on as after any start', async () => {
    const { folder, gateway } = await killedFolder();
    const disk = unansweringFolder(folder);
    const held = heldHandler();
    const { log, withMessage } = recordingLog();
    const config = { state: { folder } };
    const { agent, device } = await startedWithGateway({ config, handlers: [held.handler], log }, gateway);
    const reason = 'the disk has not answered yet';
    expect(withMessage(`journal: ${reason}; commands that need it wait`)).toHaveLength(1);
    expect(`${await gateway.ask('ping', device)}`).toBe('ok pong');
    expect(JSON.parse(`${await gateway.ask(HEALTH, device)}`)).toMatchObject({
      result: { journal: `busy: ${reason}` },
    });
    expect(agent.status().journal).toMatchObject({ persistent: true, writable: false, reason });
    await expect(agent.commands()?.list(5)).rejects.toMatchObject({ code: 'busy' });
    // What systemd waits for, and is kept alive by.
    await agent.probe();
    await gateway.send('#2 hold', device);
    expect(await gateway.everythingSoFar()).toEqual([]);

    await disk.answer();
    const heard = [`${(await gateway.next()).bytes}`, `${(await gateway.next()).bytes}`];
    expect(heard.sort()).toEqual([expect.stringMatching(/^#1 error interrupted /), 'event']);
    await held.running;
    held.release('x');
    expect(`${(await gateway.next()).bytes}`).toBe('#2 ok x');
    expect(held.called).toHaveLength(1);
    expect(agent.status()).toMatchObject({ journal: { writable: true, lost: 0 }, outbox: { entries: 0 } });
    expect(await agent.commands()?.list(5)).toMatchObject([{ state: 'done' }, { state: 'interrupted' }]);
  });
});

describe.skipIf(needs('cc'))('a disk that hangs', () => {
  it('is told of after 5 s, and who asks for commands is refused; what waits is done when it works again', async () => {
    const disk = await emptyDisk();
    const { agent, device, socket, runs } = await startOn(disk.folder, disk.env);
    const [{ peer: sender }, { peer }] = [await openSender(), await openSender()];
    const health = async () => JSON.parse(`${await peer.ask(HEALTH, device)}`);
    expect(await health()).toMatchObject({ result: { journal: 'ok' } });
    disk.set({ hang: true });
    await sender.send(commandBytes(1), device);
    const line = await agent.line(/journal: the disk does not answer/);
    expect(JSON.parse(line)).toMatchObject({ level: 'warn' });
    const busy = expect.stringMatching(/the disk has not answered for \d+ s/);
    expect(await health()).toMatchObject({ result: { journal: busy } });
    expect(JSON.parse(await askText(socket, 'GET', '/status'))).toMatchObject({
      journal: { writable: false, reason: busy, restarted: 0 },
    });
    expect(await askText(socket, 'GET', '/metrics')).toMatch(/^supersim_agent_journal_writable 0$/m);
    const asked = [
      ['GET', '/commands'],
      ['GET', '/commands/1'],
      ['DELETE', '/commands/1'],
      ['POST', '/commands/purge'],
    ] as const;
    for (const [method, path] of asked) {
      await expect(askText(socket, method, path)).rejects.toMatchObject({ code: 'busy', message: busy });
    }
    const config = { control: { socket }, state: { folder: disk.folder } };
    const found = [...(await run(agentCheck, config)), ...(await run(journalCheck, config))];
    expect(found.filter(({ severity }) => severity !== 'good')).toMatchObject([
      {
        check: 'agent',
        found: expect.stringMatching(/commands wait to run/),
        remedy: expect.stringMatching(/journal/),
      },
      { check: 'journal', severity: 'error', found: busy },
    ]);
    expect(runs()).toEqual([]);
    disk.set({});
    expect(JSON.parse(`${(await sender.next()).bytes}`)).toMatchObject({ id: 1, result: 1 });
    expect(runs()).toEqual([1]);
    expect(await health()).toMatchObject({ result: { journal: 'ok' } });
    expect(JSON.parse(await askText(socket, 'GET', '/commands'))).toMatchObject({
      commands: [{ id: 1, state: 'done' }],
    });
  });

  it('since the start keeps systemd neither from being told that the agent is ready, nor that it lives', async () => {
    const disk = await emptyDisk();
    disk.set({ hang: true });
    const programs = temporaryFolder();
    const told = join(programs, 'told');
    chmodSync(writeFile(programs, 'systemd-notify', `#!/bin/sh\necho "$@" >>'${told}'\n`), 0o755);
    const path = { PATH: `${programs}:${process.env['PATH']}` };
    const systemd = { ...path, NOTIFY_SOCKET: join(programs, 'socket'), WATCHDOG_USEC: '300000' };
    const { agent } = await startOn(disk.folder, { ...disk.env, ...systemd });
    await agent.line(/"systemd notified: ready"/);
    await vi.waitFor(() => expect(linesOf(told)).toContain('WATCHDOG=1'), 10_000);
    expect(linesOf(told)[0]).toMatch(/^READY=1 /);
  });

  it.each([
    ['since its start', true],
    ['while it runs', false],
  ])(
    '%s keeps no agent from ending when it is to',
    async (_, isHungFirst) => {
      const disk = await emptyDisk();
      disk.set({ hang: isHungFirst });
      const { agent, device } = await startOn(disk.folder, disk.env);
      disk.set({ hang: true });
      const { peer } = await openSender();
      await peer.send(commandBytes(1), device);
      expect(`${await peer.ask('ping', device)}`).toBe('ok pong');
      agent.kill('SIGTERM');
      await agent.line(/"agent stopped"/);
      expect(await agent.ended).toBe('SIGTERM');
    },
    40_000,
  );
});
