import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createAgent, defineHandler, z } from '../../agent/index.js';
import { fromCbor, toCbor } from '../../shared/format/value.js';
import { deferred } from '../support/deferred.js';
import { temporaryFolder } from '../support/files.js';
import { recordingLog } from '../support/log.js';
import { openPeer } from '../support/udp.js';
import { startedWithGateway, withGateway } from './support.js';

/** A handler that tells when it runs, and ends when it is let. */
function heldHandler() {
  const running = deferred();
  const release = deferred<string>();
  const handler = defineHandler({
    name: 'hold',
    description: 'Waits',
    run() {
      running.resolve();
      return release.promise;
    },
  });
  return { handler, running: running.promise, release: () => release.resolve('released') };
}

describe('an agent in someone’s own program', () => {
  it('answers with its own handlers beside the built-ins', async () => {
    const double = defineHandler({
      name: 'double',
      description: 'Doubles',
      params: z.object({ n: z.number() }),
      run: async ({ n }, context) => `${context.deviceId} ${n * 2}`,
    });
    const { gateway, device } = await startedWithGateway({ handlers: [double] });
    expect((await gateway.ask('#1 double 21', device)).toString()).toBe('#1 ok box-1 42');
    expect((await gateway.ask('ping', device)).toString()).toBe('ok pong');
  });

  it('tells what it does', async () => {
    const { handler, running, release } = heldHandler();
    const { agent, gateway, device } = await withGateway({ handlers: [handler] });
    expect(agent.status()).toMatchObject({ address: undefined, ports: [6969], running: 0, waiting: 0 });
    await agent.start();
    await gateway.send('hold', device);
    await running;
    const before = agent.status();
    expect(before).toMatchObject({ address: device.address, running: 1, counters: { received: 1, receivedBytes: 4 } });
    release();
    await gateway.next();
    expect(agent.status()).toMatchObject({ running: 0, counters: { outcomes: { done: 1 } } });
    expect(before.counters.outcomes.done).toBe(0);
  });

  it('tells what came last: a command, and a datagram that left', async () => {
    const { agent, gateway, device } = await withGateway();
    expect(agent.status()).toMatchObject({ lastCommand: undefined, lastSent: undefined });
    await agent.start();
    await gateway.ask('ping', device);
    const peer = `${gateway.endpoint.address}:${gateway.endpoint.port}`;
    const about = { peer: expect.stringMatching(new RegExp(`^(gateway|${peer})$`)), transport: 'udp' };
    const at = expect.toSatisfy((moment: number) => Math.abs(Date.now() - moment) < 5000);
    expect(agent.status()).toMatchObject({
      lastCommand: { ...about, name: 'ping', outcome: 'done', code: undefined, at },
      lastSent: { bytes: 'ok pong'.length, transport: 'udp', at },
    });
    const { length } = await gateway.ask('#1 nope', device);
    expect(agent.status()).toMatchObject({
      lastCommand: { name: 'nope', outcome: 'refused', code: 'unknown-command' },
      lastSent: { bytes: length },
    });
    await agent.emit('boot');
    expect(agent.status()).toMatchObject({ lastCommand: { name: 'nope' }, lastSent: { bytes: 16 } });
  });

  it('can be asked by a probe whether it works, which has a place of its own and leaves no trace', async () => {
    const { handler, running, release } = heldHandler();
    const config = { limits: { running: 1, waiting: 0 } };
    const { agent, gateway, device } = await withGateway({ handlers: [handler], config });
    await expect(agent.probe()).rejects.toMatchObject({ code: 'probe-failed' });
    await agent.start();
    await gateway.send('hold', device);
    await running;
    const before = agent.status();
    for (let times = 0; times < 100; times++) await agent.probe();
    expect({ ...agent.status(), link: before.link }).toEqual(before);
    release();
    await gateway.next();
    expect(await gateway.everythingSoFar()).toEqual([]);
  });

  it('refuses a bad configuration when it is made', () => {
    expect(() => createAgent({ config: { listen: { ports: [] } } })).toThrow(
      expect.objectContaining({ code: 'config-invalid' }),
    );
  });

  it('refuses a bad handler, or a port in use, when it starts', async () => {
    const ping = defineHandler({ name: 'ping', description: '', run: () => 1 });
    const { agent } = await withGateway({ handlers: [ping] });
    await expect(agent.start()).rejects.toMatchObject({ code: 'handler-invalid' });

    const taken = await openPeer();
    const { address, port } = taken.endpoint;
    const second = await withGateway({ config: { listen: { address, ports: [port] } } });
    await expect(second.agent.start()).rejects.toMatchObject({ code: 'port-in-use' });
  });
});

describe('a stop', () => {
  it('lets in nothing more, waits for what runs and sends its reply', async () => {
    const { handler, running, release } = heldHandler();
    const { agent, gateway, device } = await startedWithGateway({ handlers: [handler] });
    await gateway.send('#1 hold', device);
    await running;
    const stopped = agent.stop();
    await gateway.send('#2 ping', device);
    release();
    await stopped;
    expect((await gateway.everythingSoFar()).map(({ bytes }) => bytes.toString())).toEqual(['#1 ok released']);
    expect(agent.status()).toMatchObject({ address: undefined, running: 0 });
  });

  it('waits no longer than it is told to, and answers for what it ends', async () => {
    const aborted = deferred();
    const { handler, running } = heldHandler();
    const stubborn = defineHandler({
      ...handler,
      run: (params, context) => {
        context.signal.addEventListener('abort', () => aborted.resolve());
        return Promise.race([handler.run(params, context), aborted.promise]);
      },
    });
    const config = { limits: { stop: '0s' } };
    const { agent, gateway, device } = await startedWithGateway({ handlers: [stubborn], config });
    await gateway.send('#1 hold', device);
    await running;
    await agent.stop();
    await aborted.promise;
    expect((await gateway.next()).bytes.toString()).toMatch(/^#1 error handler-failed /);
  });

  it('answers every command whose start is being written then, and those that it refuses do not run', async () => {
    const ran: unknown[] = [];
    const count = defineHandler({
      name: 'count',
      description: 'Counts',
      run(_, { command }) {
        ran.push(command.id);
      },
    });
    const config = { state: { folder: temporaryFolder() } };
    const { agent, gateway, device } = await startedWithGateway({ handlers: [count], config });
    expect(`${await gateway.ask('#0 count', device)}`).toBe('#0 ok');
    const ids = Array.from({ length: 50 }, (_, index) => index + 1);
    for (const id of ids) await gateway.send(`#${id} count`, device);
    while (agent.status().counters.received <= ids.length) await setImmediate();
    await agent.stop();
    const replies = new Map<number, string>();
    for (const _ of ids) {
      const [, id, outcome] = /^#(\d+) (ok|error busy)/.exec(`${(await gateway.next()).bytes}`) ?? [];
      replies.set(Number(id), `${outcome}`);
    }
    expect([...replies.keys()].sort((a, b) => a - b)).toEqual(ids);
    expect([...replies].filter(([, outcome]) => outcome === 'ok').map(([id]) => id)).toEqual(ran.slice(1));
  });

  it('may be asked for again, or before the start', async () => {
    const { log, withMessage } = recordingLog();
    const { agent } = await startedWithGateway({ log });
    await Promise.all([agent.stop(), agent.stop()]);
    await agent.stop();
    expect(withMessage('agent stopped')).toHaveLength(1);
    const { agent: never } = await withGateway();
    await never.stop();
  });

  it('frees the port at once', async () => {
    const { agent, device } = await startedWithGateway();
    await agent.stop();
    expect((await openPeer(device.address, device.port)).endpoint).toEqual(device);
  });

  it('is the end: an agent starts once, and not after a stop', async () => {
    const { agent } = await startedWithGateway();
    await expect(agent.start()).rejects.toThrow('once');
    await agent.stop();
    await expect(agent.start()).rejects.toThrow('once');
  });

  it('comes by AbortSignal as well', async () => {
    const controller = new AbortController();
    const { log, times } = recordingLog();
    const { agent } = await startedWithGateway({ log, signal: controller.signal });
    controller.abort();
    await times('agent stopped', 1);
    expect(agent.status().address).toBeUndefined();
  });

  it('by AbortSignal before the start is an error, and while it starts leaves nothing open', async () => {
    const early = await withGateway({ signal: AbortSignal.abort(new Error('never mind')) });
    await expect(early.agent.start()).rejects.toThrow('never mind');

    const controller = new AbortController();
    const { log, times, withMessage } = recordingLog();
    const { agent, device } = await withGateway({ log, signal: controller.signal });
    const starting = agent.start();
    controller.abort();
    await starting;
    await times('agent stopped', 1);
    expect(withMessage('agent started')).toEqual([]);
    expect(agent.status().address).toBeUndefined();
    await openPeer(device.address, device.port);
  });
});

describe('an event', () => {
  it('goes to the gateway from the device port, as JSON or as bytes', async () => {
    const { agent, gateway, device } = await startedWithGateway();
    await agent.emit('door', { open: true });
    const first = await gateway.next();
    expect(first.source).toEqual(device);
    expect(JSON.parse(first.bytes.toString())).toEqual({ event: 'door', data: { open: true } });
    await agent.emit('boot');
    expect(JSON.parse((await gateway.next()).bytes.toString())).toEqual({ event: 'boot' });
    await agent.emit(Buffer.from([0, 255, 128]));
    expect((await gateway.next()).bytes).toEqual(Buffer.from([0, 255, 128]));
    expect(agent.status().counters).toMatchObject({ sent: 3, unsent: 0 });
  });

  it('may come from a handler, also while it runs', async () => {
    const handler = defineHandler({
      name: 'watch',
      description: 'Emits',
      async run(_params, context) {
        await context.emit('seen', 1);
        return 'done';
      },
    });
    const { gateway, device } = await startedWithGateway({ handlers: [handler] });
    await gateway.send('watch', device);
    expect((await gateway.next()).bytes.toString()).toBe('{"event":"seen","data":1}');
    expect((await gateway.next()).bytes.toString()).toBe('ok done');
  });

  it('of 1300 bytes goes, of 1301 is too large', async () => {
    const { agent, gateway } = await startedWithGateway();
    await agent.emit(Buffer.alloc(1300, 'x'));
    expect((await gateway.next()).bytes).toHaveLength(1300);
    await expect(agent.emit(Buffer.alloc(1301))).rejects.toMatchObject({ code: 'too-large' });
    await expect(agent.emit('long', 'é'.repeat(650))).rejects.toMatchObject({ code: 'too-large' });
    expect(await gateway.everythingSoFar()).toEqual([]);
  });

  it('that cannot be written as JSON is a bad reply', async () => {
    const { agent } = await startedWithGateway();
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const data of [1n, cycle]) await expect(agent.emit('x', data)).rejects.toMatchObject({ code: 'bad-reply' });
  });

  it('without a link is refused, and counted', async () => {
    const { agent } = await withGateway();
    await expect(agent.emit('x')).rejects.toMatchObject({ code: 'link-down' });
    await agent.start();
    await agent.stop();
    await expect(agent.emit('x')).rejects.toMatchObject({ code: 'link-down' });
    expect(agent.status().counters.unsent).toBe(2);
  });
});

describe('a handler that goes wrong fails, and the agent goes on', () => {
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  class Relay {
    readonly pin = 4;
  }
  const throws = (thrown: unknown) => () => {
    throw thrown;
  };
  const unprintable = { toString: throws(new Error('no')), [Symbol.toPrimitive]: throws(new Error('no')) };
  const brokenThenable = Object.defineProperty({}, 'then', { get: throws(new Error('no then')) });

  /** Each with the outcome in JSON and in CBOR; what these cannot say differs. */
  const cases: [name: string, run: () => unknown, json: string, cbor: string][] = [
    ['throws', throws(new Error('broken')), 'handler-failed', 'handler-failed'],
    ['rejects', () => Promise.reject(new Error('broken')), 'handler-failed', 'handler-failed'],
    ['throws-nothing', throws(undefined), 'handler-failed', 'handler-failed'],
    ['throws-a-symbol', throws(Symbol('x')), 'handler-failed', 'handler-failed'],
    ['throws-the-unprintable', throws(unprintable), 'handler-failed', 'handler-failed'],
    ['rejects-with-null', () => Promise.reject(null), 'handler-failed', 'handler-failed'],
    ['returns-a-broken-thenable', () => brokenThenable, 'handler-failed', 'handler-failed'],
    ['returns-a-function', () => () => 1, 'bad-reply', 'bad-reply'],
    ['returns-a-symbol', () => Symbol('x'), 'bad-reply', 'bad-reply'],
    ['returns-a-cycle', () => cycle, 'bad-reply', 'bad-reply'],
    ['returns-a-big-integer', () => 2n ** 70n, 'bad-reply', 'bad-reply'],
    ['returns-an-instance', async () => new Relay(), 'done', 'done'],
    [
      'returns-a-throwing-getter',
      () => ({
        get a() {
          return throws(new Error('no'))();
        },
      }),
      'bad-reply',
      'bad-reply',
    ],
    ['never-settles', () => new Promise(() => undefined), 'handler-timeout', 'handler-timeout'],
  ];

  const handlers = cases.map(([name, run]) => defineHandler({ name, description: '', timeout: '100ms', run }));

  it.each(cases)('%s', async (name, _run, json, cbor) => {
    const { gateway, device } = await startedWithGateway({ handlers });
    const request = { id: 1, method: name };
    const codeOf = (answer: unknown) =>
      z.object({ error: z.object({ data: z.object({ code: z.string() }) }) }).safeParse(answer).data?.error.data.code ??
      'done';
    expect(codeOf(JSON.parse((await gateway.ask(JSON.stringify(request), device)).toString()))).toBe(json);
    expect(codeOf(fromCbor(await gateway.ask(toCbor(request), device)))).toBe(cbor);
    expect((await gateway.ask(`#1 ${name}`, device)).toString()).toMatch(json === 'done' ? '#1 ok ' : '#1 error ');
    expect((await gateway.ask('ping', device)).toString()).toBe('ok pong');
  });
});
