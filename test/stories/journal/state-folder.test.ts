import { cpSync, rmSync } from 'node:fs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type AgentOptions, createAgent, defineHandler } from '../../../agent/index.js';
import { asAfterKill, heldHandler } from '../../agent/command/wired-support.js';
import { fill, smallDisk } from '../../agent/storage/support.js';
import { startedWithGateway, withGateway } from '../../agent/support.js';
import { requestBytes, withoutId } from '../../support/coap.js';
import { temporaryFolder } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { needs } from '../../support/needs.js';
import { openPeer } from '../../support/udp.js';

const inFolder = (folder: string): AgentOptions => ({ config: { state: { folder } } });

/** Whether no agent has a state folder: then another can start on it. */
async function isFree(folder: string): Promise<boolean> {
  const { agent } = await withGateway(inFolder(folder));
  try {
    await agent.start();
    return true;
  } catch {
    return false;
  } finally {
    await agent.stop();
  }
}

const ALLOW_RESTART = { security: { unprotected: 'allow' } } as const;

describe('a state folder', () => {
  it('is one agent’s at a time; another does not start, and leaves nothing open', async () => {
    const folder = temporaryFolder();
    const { agent: first, gateway, device } = await startedWithGateway(inFolder(folder));
    const { agent: second, device: secondDevice } = await withGateway(inFolder(folder));
    await expect(second.start()).rejects.toMatchObject({ code: 'state-in-use' });
    expect(second.status()).toMatchObject({ address: undefined, journal: undefined });
    await openPeer(secondDevice.address, secondDevice.port);
    await expect(second.emit('x')).rejects.toMatchObject({ code: 'link-down' });
    await second.stop();
    expect((await gateway.ask('ping', device)).toString()).toBe('ok pong');
    expect(await isFree(folder)).toBe(false);
    await first.stop();
    expect(await isFree(folder)).toBe(true);
  });

  it('is free when the agent could not start', async () => {
    const folder = temporaryFolder();
    const taken = await openPeer();
    const { address, port } = taken.endpoint;
    const { agent } = await withGateway({ config: { state: { folder }, listen: { address, ports: [port] } } });
    await expect(agent.start()).rejects.toMatchObject({ code: 'port-in-use' });
    expect(await isFree(folder)).toBe(true);
    await expect(agent.emit('x')).rejects.toMatchObject({ code: 'link-down' });
  });

  it.each([0, 1, 2, 5, 10, 20, 50, 100])(
    'is free when the agent was stopped while it started, after %d turns',
    async (turns) => {
      const folder = temporaryFolder();
      const { agent, device } = await withGateway(inFolder(folder));
      const starting = agent.start();
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      if (turns > 10) await new Promise((resolve) => setImmediate(resolve));
      await agent.stop();
      await starting;
      expect(agent.status().address).toBeUndefined();
      await openPeer(device.address, device.port);
      expect(await isFree(folder)).toBe(true);
      await expect(agent.emit('x')).rejects.toMatchObject({ code: 'link-down' });
    },
  );

  it('is opened no more when the agent is stopped before', async () => {
    const folder = temporaryFolder();
    const { log, times, withMessage } = recordingLog();
    const { agent } = await withGateway({ ...inFolder(folder), log });
    const starting = agent.start();
    void agent.stop();
    await starting;
    await times('agent stopped', 1);
    expect(withMessage('listening')).toEqual([]);
    expect(agent.status().journal).toBeUndefined();
  });
});

describe('the journal of an agent', () => {
  it('has what it answered, after a stop', async () => {
    const folder = temporaryFolder();
    let runs = 0;
    const handlers = [defineHandler({ name: 'count', description: '', run: () => ++runs })];
    const config = { state: { folder } };
    const first = await startedWithGateway({ config, handlers });
    expect((await first.gateway.ask('#1 count', first.device)).toString()).toBe('#1 ok 1');
    expect(first.agent.status().journal).toMatchObject({ persistent: true, entries: 1, live: 0, damaged: 0 });
    await first.agent.stop();
    // All that comes from a gateway comes from one peer.
    const { agent, gateway, device } = await startedWithGateway({ config, handlers });
    expect((await gateway.ask('#1 count', device)).toString()).toBe('#1 repeat ok 1');
    expect(await agent.commands()?.list(5)).toMatchObject([{ seq: 1, state: 'done', runs: 1 }]);
  });

  it('in memory, knows commands too, until the agent ends', async () => {
    const held = heldHandler();
    const { agent, gateway, device } = await startedWithGateway({ handlers: [held.handler] });
    await gateway.send('#1 hold', device);
    await held.running;
    expect(agent.status().journal).toMatchObject({ persistent: false, live: 1 });
    expect(await agent.commands()?.cancel(1)).toBe('too-late');
    held.release('x');
    expect((await gateway.next()).bytes.toString()).toBe('#1 ok x');
    expect(await agent.commands()?.purge()).toBe(1);
    expect(agent.status().journal).toMatchObject({ entries: 0, bytes: 0, live: 0 });
  });

  it('has what the stop ended: what ran as failed, what waited as refused', async () => {
    const folder = temporaryFolder();
    const held = heldHandler();
    const config = { state: { folder }, limits: { running: 1, stop: '0s' } };
    const { agent, gateway, device } = await startedWithGateway({ config, handlers: [held.handler] });
    await gateway.send('#1 hold', device);
    await held.running;
    await gateway.ask('#1 hold', device);
    await gateway.send('#2 hold', device);
    await gateway.send('#2 hold', device);
    await gateway.next();
    const stopping = agent.stop();
    held.release('too late');
    await stopping;
    const told = (await gateway.everythingSoFar()).map(({ bytes }) => bytes.toString());
    expect(told).toEqual([
      expect.stringMatching(/^#2 error busy /),
      expect.stringMatching(/^#1 (ok too late|error handler-failed )/),
    ]);
    const { agent: next } = await startedWithGateway({ config });
    expect(await next.commands()?.list(5)).toMatchObject([{ state: 'refused', code: 'busy' }, { state: 'done' }]);
  });

  it('tells of one batch of commands, one of which ended the agent, only what is certain', async () => {
    const folder = temporaryFolder();
    const broken = defineHandler({ name: 'broken', description: '', run: () => JSON.parse('{') });
    const config = {
      state: { folder },
      ...ALLOW_RESTART,
      device: { restart: ['/bin/true'] },
      limits: { stop: '0s' },
    };
    const first = await startedWithGateway({ config, handlers: [broken] });
    const batch = '[{"id":1,"method":"broken"},{"id":2,"method":"agent.restart"}]';
    expect(JSON.parse((await first.gateway.ask(batch, first.device)).toString())).toMatchObject([
      { id: 1, error: { code: -32007 } },
      { id: 2, error: { code: -32007 } },
    ]);
    await first.agent.stop();
    const { gateway } = first;
    const { agent } = await startedWithGateway({ config }, gateway);
    expect(JSON.parse((await gateway.next()).bytes.toString())).toMatchObject([
      { id: 1, error: { code: -32008 } },
      { id: 2, error: { code: -32008 } },
    ]);
    expect(await agent.commands()?.list(5)).toMatchObject([{ state: 'interrupted' }]);
  });

  it('tells of a restart when it has happened', async () => {
    for (const [request, running, done] of [
      ['#1 agent.restart', /^#1 error running /, /^#1 ok$/],
      ['{"id":1,"method":"agent.restart"}', /-32007/, /"result":null/],
    ] as const) {
      const folder = temporaryFolder();
      const config = { state: { folder }, ...ALLOW_RESTART, device: { restart: ['/bin/true'] } };
      const { agent, gateway, device } = await startedWithGateway({ config });
      expect((await gateway.ask(request, device)).toString()).toMatch(running);
      await agent.stop();
      expect(await gateway.everythingSoFar()).toEqual([]);
      await startedWithGateway({ config }, gateway);
      expect((await gateway.next()).bytes.toString()).toMatch(done);
    }
  });

  it('tells of a restart to a CoAP client, which has acknowledged it', async () => {
    const folder = temporaryFolder();
    const config = { state: { folder }, ...ALLOW_RESTART, device: { restart: ['/bin/true'] } };
    const { agent, gateway, device } = await startedWithGateway({ config });
    const request = requestBytes({ path: 'agent/restart', token: 'a', messageId: 9 });
    expect(withoutId(await gateway.ask(request, device))).toBe('ACK 0.00');
    await agent.stop();
    await startedWithGateway({ config }, gateway);
    expect(withoutId((await gateway.next()).bytes)).toMatch(/^(CON|NON) 2\.04 "a"$/);
  });
});

describe.skipIf(needs('root'))('an agent whose disk is full when it starts', () => {
  it('answers what needs no journal, and recovers what had not ended when there is room', async () => {
    const folder = smallDisk(512 * 1024);
    const held = heldHandler();
    const config = { state: { folder } };
    const first = await startedWithGateway({ config, handlers: [held.handler] });
    await first.gateway.send('#1 hold', first.device);
    await held.running;
    // As a kill leaves it: nothing is written any more.
    const copy = smallDisk(512 * 1024);
    cpSync(asAfterKill(folder), copy, { recursive: true });
    fill(copy);

    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const { log, times } = recordingLog();
    const { agent, gateway, device } = await startedWithGateway(
      { config: { state: { folder: copy } }, log },
      first.gateway,
    );
    await times('the journal is not ready: commands that need it are refused', 1);
    expect((await gateway.ask('#2 ping', device)).toString()).toBe('#2 ok pong');
    vi.advanceTimersByTime(60_000);
    await times('the journal is not ready: commands that need it are refused', 2);
    rmSync(`${copy}/filler`);
    vi.advanceTimersByTime(60_000);
    expect((await gateway.next()).bytes.toString()).toMatch(/^#1 error interrupted /);
    expect(await agent.commands()?.list(5)).toMatchObject([{ state: 'interrupted' }]);
    vi.useRealTimers();
    held.release('x');
  });
});

describe('what could not leave before the agent ended', () => {
  it('leaves when another runs, in its order, before what comes then', async () => {
    const folder = temporaryFolder();
    const gateway = await openPeer();
    const base = { gateway: gateway.endpoint, allow: ['127.0.0.0/8'], state: { folder } };
    const without = createAgent({ config: { ...base, listen: { address: 'nowhere0' } } });
    onTestFinished(() => without.stop());
    await without.start();
    for (const event of ['a', 'b', 'c']) await without.emit(event);
    expect(without.status()).toMatchObject({
      address: undefined,
      outbox: { entries: 3 },
      counters: { unsent: 3, sent: 0 },
    });
    await without.stop();
    const { address } = (await openPeer()).endpoint;
    const agent = createAgent({ config: { ...base, listen: { address } } });
    onTestFinished(() => agent.stop());
    await agent.start();
    expect(agent.status().outbox).toMatchObject({ entries: 3 });
    await agent.emit('d');
    const events: unknown[] = [];
    for (let index = 0; index < 4; index++) events.push(JSON.parse((await gateway.next()).bytes.toString()).event);
    expect(events).toEqual(['a', 'b', 'c', 'd']);
    expect(agent.status().outbox).toMatchObject({ entries: 0, bytes: 0, drops: { count: 0, bytes: 0, expired: 0 } });
  });
});
