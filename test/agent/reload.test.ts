import { chmodSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { createAgent, defineHandler, z } from '../../agent/index.js';
import { requestBytes } from '../support/coap.js';
import { deferred } from '../support/deferred.js';
import { temporaryFolder, writeFile, writeScript } from '../support/files.js';
import { recordingLog } from '../support/log.js';
import { openPeer, randomAddress } from '../support/udp.js';

/** An agent on an address of its own, and two who send to it. `configure` completes a configuration for it. */
async function prepare() {
  const peer = await openPeer();
  const gateway = await openPeer();
  const address = randomAddress();
  const device = { address, port: 6969 };
  const held = deferred();
  const hold = defineHandler({
    name: 'hold',
    description: 'Takes until it is let go',
    params: z.object({}),
    run: () => held.promise.then(() => 'held'),
  });
  const configure = (config: ConfigInput = {}): ConfigInput => ({
    listen: { address, receiveBufferBytes: 65_536 },
    gateway: gateway.endpoint,
    allow: ['127.0.0.0/8'],
    ...config,
  });
  const make = (config?: ConfigInput) => {
    const agent = createAgent({ config: configure(config), handlers: [hold], log: recordingLog().log });
    onTestFinished(() => agent.stop());
    return agent;
  };
  return {
    peer,
    gateway,
    device,
    address,
    held,
    configure,
    make,
    async start(config?: ConfigInput) {
      const agent = make(config);
      await agent.start();
      return agent;
    },
    ask: async (command: string) => (await peer.ask(command, device)).toString(),
  };
}

const saying = (word: string) => ({ program: [writeScript(`echo ${word}`)] });

describe('what a reload changes at once', () => {
  it('handlers: new, others in the place of others, gone; in text, CoAP, and in the list', async () => {
    const { start, configure, ask, peer, device } = await prepare();
    const agent = await start({ handlers: { word: saying('one'), leaving: saying('x') } });
    expect(await ask('word')).toBe('ok one');
    const handlers = { word: saying('two'), 'brand.new': saying('new') };
    expect(await agent.reload(configure({ handlers }))).toEqual({
      changed: ['handlers.word', 'handlers.leaving', 'handlers.brand.new'],
      needsRestart: [],
      modules: [],
    });
    expect([await ask('word'), await ask('brand.new')]).toEqual(['ok two', 'ok new']);
    expect(await ask('leaving')).toContain('unknown-command');
    const names = JSON.parse(await ask('{"id":1,"method":"commands"}')).result.map(
      ({ name }: { name: string }) => name,
    );
    expect(names).toContain('brand.new');
    expect(names).not.toContain('leaving');
    expect(String(await peer.ask(requestBytes({ path: 'brand/new' }), device))).toContain('new');
    expect(String(await peer.ask(requestBytes({ path: '.well-known/core', method: '0.01' }), device))).toContain(
      'brand/new',
    );
  });

  it('what built-in handlers do', async () => {
    const { start, configure, ask, peer } = await prepare();
    const agent = await start({ security: { unprotected: 'allow' }, device: { reboot: ['/bin/true'] } });
    await agent.reload(
      configure({
        security: { unprotected: 'allow' },
        device: { reboot: [writeScript('echo not today >&2; exit 3')] },
      }),
    );
    expect(await ask('#1 device.reboot')).toMatch(/running/);
    expect(String((await peer.next()).bytes)).toContain('not today');
  });

  it('who may send commands', async () => {
    const { start, configure, ask, peer, device, gateway } = await prepare();
    const agent = await start();
    expect(await ask('ping')).toBe('ok pong');
    await agent.reload(configure({ allow: [`${gateway.endpoint.address}/32`] }));
    await peer.send('ping', device);
    await expect.poll(() => agent.status().counters.refusedSource).toBe(1);
    expect((await gateway.ask('ping', device)).toString()).toBe('ok pong');
    await agent.reload(configure());
    expect(await ask('#2 ping')).toBe('#2 ok pong');
  });

  it('where replies go', async () => {
    const { start, configure, peer, gateway, device } = await prepare();
    const agent = await start();
    await agent.reload(configure({ reply: { to: 'gateway' } }));
    await peer.send('ping', device);
    expect((await gateway.next()).bytes.toString()).toBe('ok pong');
  });

  it('limits: what waited runs, in its order', async () => {
    const { start, configure, peer, device, held } = await prepare();
    const agent = await start({ limits: { running: 1, waiting: 1 } });
    for (const n of [1, 2, 3]) await peer.send(`#${n} hold`, device);
    expect((await peer.next()).bytes.toString()).toContain('#3 error busy');
    await agent.reload(configure({ limits: { running: 2, waiting: 0 } }));
    await expect.poll(() => [agent.status().running, agent.status().waiting]).toEqual([2, 0]);
    held.resolve();
    expect(String((await peer.next()).bytes)).toBe('#1 ok held');
  });

  it('what becomes of deadlines while the clock is not synchronised', async () => {
    const { start, configure, ask } = await prepare();
    const agent = await start({ deadline: { unsynchronized: 'refuse' } });
    const withDeadline = (id: number) =>
      ask(`{"id":${id},"method":"ping","deadline":${Math.round(Date.now() / 1000) + 600}}`);
    const isSynchronized = JSON.parse(await ask('{"id":0,"method":"health"}')).result.clockSynchronized;
    expect(await withDeadline(1)).toContain(isSynchronized ? 'pong' : 'expired');
    await agent.reload(configure({ deadline: { unsynchronized: 'run' } }));
    expect(await withDeadline(2)).toContain('pong');
  });
});

it('what runs and what waits keeps the handler that it came in for, and each runs once', async () => {
  const { start, configure, peer, device, held } = await prepare();
  const folder = temporaryFolder();
  const slow = (word: string) => ({
    program: [
      writeScript(`echo ${word} >>${folder}/runs; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo ${word}`),
    ],
  });
  const agent = await start({ handlers: { word: slow('old') }, limits: { running: 1 } });
  await peer.send('#1 word', device);
  await peer.send('#2 word', device);
  await expect.poll(() => [agent.status().running, agent.status().waiting]).toEqual([1, 1]);
  await agent.reload(configure({ handlers: { word: slow('new') }, limits: { running: 1 } }));
  await peer.send('#3 word', device);
  // Repeats of what runs, and of what waits.
  for (const n of [1, 2, 3]) await peer.send(`#${n} word`, device);
  for (const n of [1, 2, 3]) expect((await peer.next()).bytes.toString()).toContain(`#${n} repeat error running`);
  writeFile(folder, 'go', '');
  const replies = [await peer.next(), await peer.next(), await peer.next()].map(({ bytes }) => bytes.toString());
  expect(replies).toEqual(['#1 ok old', '#2 ok old', '#3 ok new']);
  held.resolve();
});

describe('what needs a restart', () => {
  it('is named, and stays; the rest is taken up', async () => {
    const { start, configure, ask, address, gateway } = await prepare();
    const agent = await start();
    const next: ConfigInput = {
      ...configure({ handlers: { word: saying('new') } }),
      device: { id: 'other' },
      listen: { address: randomAddress(), ports: [7000], receiveBufferBytes: 65_536 },
      gateway: { address: '127.0.0.1', port: 9 },
      state: { folder: '/nowhere' },
      journal: { entries: 99 },
    };
    const { changed, needsRestart } = await agent.reload(next);
    expect(changed).toEqual(['handlers.word']);
    expect(needsRestart).toEqual([
      'device.id',
      'listen.address',
      'listen.ports',
      'gateway.address',
      'gateway.port',
      'state.folder',
      'journal.entries',
    ]);
    expect(await ask('word')).toBe('ok new');
    expect(agent.status()).toMatchObject({ address, ports: [6969] });
    expect(agent.config).toMatchObject({ gateway: gateway.endpoint, state: {}, journal: { entries: 10_000 } });
    expect(JSON.parse(await ask('{"id":1,"method":"info"}')).result.device).not.toBe('other');
    expect((await agent.reload(next)).needsRestart).toEqual(needsRestart);
  });
});

describe('a reload that cannot be done changes nothing', () => {
  const unsafe = () => {
    const path = writeScript('echo unsafe');
    chmodSync(path, 0o777);
    return path;
  };

  it.each<[string, () => ConfigInput, string]>([
    ['a value out of its range', () => ({ limits: { running: 0 } }), 'config-invalid'],
    ['a program that is not there', () => ({ handlers: { new: { program: ['/nowhere'] } } }), 'handler-invalid'],
    ['a program that others can write', () => ({ handlers: { new: { program: [unsafe()] } } }), 'handler-invalid'],
    ['a name that is taken', () => ({ handlers: { ping: saying('x') } }), 'handler-invalid'],
    [
      'a module that does not load',
      () => ({ modules: [writeFile(temporaryFolder(), 'm.mjs', 'throw new Error("no such board")')] }),
      'handler-invalid',
    ],
  ])('%s', async (_what, bad, code) => {
    const { start, configure, ask } = await prepare();
    const good = { handlers: { word: saying('good') } };
    const agent = await start(good);
    const before = agent.config;
    const next = configure({ ...bad(), allow: ['10.0.0.0/8'] });
    await expect(agent.reload(next)).rejects.toMatchObject({ code });
    expect(agent.config).toBe(before);
    expect(await ask('word')).toBe('ok good');
    expect((await agent.reload(configure(good))).changed).toEqual([]);
  });
});

describe('two reloads', () => {
  it('at once are done one after the other, the last one last', async () => {
    const { start, configure, ask } = await prepare();
    const agent = await start();
    const words = Array.from({ length: 20 }, (_, n) => `w${n}`);
    const programs = words.map(saying);
    const reloads = programs.map((word) => agent.reload(configure({ handlers: { word } })));
    const failing = agent.reload(configure({ handlers: { word: { program: ['/nowhere'] } } }));
    await expect(failing).rejects.toMatchObject({ code: 'handler-invalid' });
    expect(await Promise.all(reloads)).toHaveLength(20);
    expect(await ask('word')).toBe('ok w19');
  });
});

describe('a reload', () => {
  it('of an agent that does not run is refused', async () => {
    const { make, configure, start } = await prepare();
    await expect(make().reload(configure())).rejects.toMatchObject({ code: 'busy' });
    const agent = await start();
    await agent.stop();
    await expect(agent.reload(configure())).rejects.toMatchObject({ code: 'busy' });
  });

  it('of one that starts waits for that', async () => {
    const { make, configure, ask } = await prepare();
    const agent = make();
    const [, { changed }] = await Promise.all([
      agent.start(),
      agent.reload(configure({ handlers: { word: saying('new') } })),
    ]);
    expect(changed).toEqual(['handlers.word']);
    expect(await ask('word')).toBe('ok new');
  });

  it('of one whose start fails, fails as that does', async () => {
    const { make, configure, address } = await prepare();
    await openPeer(address, 6969);
    const agent = make();
    const reload = agent.reload.bind(agent);
    const started = agent.start();
    const reloaded = reload(configure());
    await expect(started).rejects.toMatchObject({ code: 'port-in-use' });
    await expect(reloaded).rejects.toMatchObject({ code: 'port-in-use' });
  });

  it('of one that stops is refused, at whatever moment, and the stop is as quick as ever', async () => {
    for (let moment = 0; moment < 20; moment++) {
      const { start, configure } = await prepare();
      const agent = await start();
      const before = agent.config;
      const reload = agent.reload(configure({ handlers: { word: saying('new') } })).catch(({ code }) => code);
      for (let i = 0; i < moment * 3; i++) await Promise.resolve();
      await agent.stop();
      const came = await reload;
      if (came === 'busy') expect(agent.config).toBe(before);
      else expect(came).toMatchObject({ changed: ['handlers.word'] });
    }
  });
});
