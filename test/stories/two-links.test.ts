import { networkInterfaces } from 'node:os';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { createAgent, defineHandler, z } from '../../agent/index.js';
import type { ModemOptions } from '../../agent/transport/modem/options.js';
import { temporaryFolder } from '../support/files.js';
import { interfacesOf, MODEM_HEALTH, type PlayedModem, playModem } from '../support/links.js';
import { recordingLog } from '../support/log.js';
import { openPeer, randomAddress } from '../support/udp.js';

vi.mock('node:os', { spy: true });

/** The modems that the agents of this test have created, with their options. */
const made: { readonly modem: PlayedModem; readonly options: ModemOptions }[] = [];
vi.mock('../../agent/transport/modem/modem-transport.js', () => ({
  createModemTransport: (options: ModemOptions) => {
    const modem = playModem(options.ports, options.gateway);
    made.push({ modem, options });
    return modem;
  },
}));

const COMMANDS = 600;
/** Interval of the caller's repeats. */
const AGAIN_MS = 400;

/** Starts an agent with a cellular interface that the test can remove, and a modem that it can unplug. */
async function startAgent(config: ConfigInput = {}) {
  const gateway = await openPeer();
  const address = randomAddress();
  const recording = recordingLog();
  const interfaces = {
    /** Sets whether it has the route to the gateway, or another interface has. */
    cellular(isThere: boolean) {
      const routed = isThere ? { wwan0: [address, '127.0.0.1'] } : { eth0: ['127.0.0.1'] };
      vi.mocked(networkInterfaces).mockReturnValue(interfacesOf(routed));
    },
  };
  onTestFinished(() => void vi.mocked(networkInterfaces).mockReset());
  interfaces.cellular(true);
  const runs = new Map<number, number>();
  const count = defineHandler({
    name: 'count',
    description: 'Takes its time',
    params: z.object({ n: z.number(), ms: z.number().optional() }),
    async run({ n, ms }) {
      runs.set(n, (runs.get(n) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, ms ?? (n * 37) % 300));
      return n;
    },
  });
  made.length = 0;
  const agent = createAgent({
    handlers: [count],
    log: recording.log,
    config: {
      device: { id: 'box-1' },
      listen: { address: 'wwan0', receiveBufferBytes: 1_048_576 },
      gateway: gateway.endpoint,
      allow: ['127.0.0.0/8'],
      state: { folder: temporaryFolder() },
      limits: { running: 256, waiting: 4096, waitingBytes: 1_000_000 },
      modem: { path: '/dev/nowhere' },
      link: { downFor: '1s', upFor: '1s' },
      ...config,
    },
  });
  onTestFinished(() => agent.stop());
  await agent.start();
  return { agent, gateway, interfaces, runs, recording, address, modem: made[0]?.modem };
}

describe('an agent with two links', () => {
  it('runs each command once and answers each while one link, the other, or both fail and recover', async () => {
    const { agent, gateway, interfaces, runs, recording, address, modem } = await startAgent();
    if (modem === undefined) throw new Error('no modem was made');
    const answered = new Map<number, Set<string>>();
    const listening = (async () => {
      for (;;) {
        const { bytes, source } = await gateway.next();
        const { id, result } = JSON.parse(bytes.toString());
        // A repeat may arrive before the end, and its reply says so.
        if (result === id) answered.set(id, (answered.get(id) ?? new Set()).add(source.address));
        if (answered.size === COMMANDS) return;
      }
    })();
    const device = (n: number) => ({ address: n % 2 === 0 ? address : modem.listens, port: 6969 });
    const ask = (n: number, to: number) =>
      gateway.send(JSON.stringify({ id: n, method: 'count', params: { n } }), device(to));

    let stage = 0;
    const stages: readonly (readonly [milliseconds: number, turn: () => unknown])[] = [
      [1000, () => interfaces.cellular(false)],
      [3500, () => interfaces.cellular(true)],
      [3500, () => modem.plug(false)],
      [1000, () => modem.plug(true)],
      [1000, () => Promise.all([modem.plug(false), interfaces.cellular(false)])],
      [1500, () => modem.plug(true)],
      [1000, () => interfaces.cellular(true)],
    ];
    let turning: NodeJS.Timeout;
    const turn = () => {
      const [milliseconds, next] = stages[stage] ?? [];
      turning = setTimeout(() => {
        next?.();
        stage++;
        if (stage < stages.length) turn();
      }, milliseconds);
    };
    turn();
    onTestFinished(() => clearTimeout(turning));
    // Spread over all stages; each uses one link, and some use both at once, as a network that repeats a datagram.
    for (let n = 0; n < COMMANDS; n++) {
      await ask(n, n);
      if (n % 5 === 0) await ask(n, n + 1);
      if (n % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 60));
    }
    const again = setInterval(() => {
      for (let n = 0; n < COMMANDS; n++) if (!answered.has(n)) void ask(n, Math.round(Math.random()));
    }, AGAIN_MS);
    onTestFinished(() => clearInterval(again));
    await listening;
    clearInterval(again);

    expect(stage).toBeGreaterThanOrEqual(stages.length);
    expect([...runs.values()].every((times) => times === 1)).toBe(true);
    expect(runs.size).toBe(COMMANDS);
    await expect.poll(() => agent.status().outbox?.entries).toBe(0);
    expect(agent.status().outbox?.drops).toEqual({ count: 0, bytes: 0, expired: 0 });
    const ways = [...answered.values()].flatMap((sources) => [...sources]);
    expect(new Set(ways)).toEqual(new Set([address, modem.listens]));
    const switches = recording.withMessage('link switched').map(({ details }) => details['to']);
    expect(switches.slice(0, 2)).toEqual(['modem', 'udp']);
    expect(agent.status().link?.switches).toBe(switches.length);
  }, 60_000);

  it('reports every outcome of the commands that were running when both links failed', async () => {
    const { agent, gateway, interfaces, runs, address, modem } = await startAgent();
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    for (const n of numbers) {
      const to = n % 2 === 0 ? address : (modem?.listens ?? '');
      await gateway.send(JSON.stringify({ id: n, method: 'count', params: { n, ms: 3000 } }), {
        address: to,
        port: 6969,
      });
    }
    await expect.poll(() => runs.size).toBe(100);
    interfaces.cellular(false);
    await modem?.plug(false);
    // UDP checks its interface once a second; what it accepts meanwhile was sent.
    await expect.poll(() => agent.status().link?.links.some(({ up }) => up)).toBe(false);
    await expect.poll(() => agent.status().outbox?.entries).toBe(100);
    expect(await gateway.everythingSoFar()).toEqual([]);
    await modem?.plug(true);
    await expect.poll(() => agent.status().outbox?.entries).toBe(0);
    const replies = (await gateway.everythingSoFar()).map(({ bytes }) => JSON.parse(bytes.toString()));
    expect(replies.map(({ id }) => id).sort((a, b) => a - b)).toEqual(numbers);
  });

  it('shows the link in use and its health in status, info and health', async () => {
    const { agent, gateway, interfaces, modem } = await startAgent();
    const device = { address: modem?.listens ?? '', port: 6969 };
    interfaces.cellular(false);
    await expect.poll(() => agent.status().link?.name).toBe('modem');
    const status = agent.status();
    expect(status).toMatchObject({
      address: device.address,
      link: {
        switches: 1,
        links: [
          { name: 'modem', up: true, modem: { signalDbm: -71 } },
          { name: 'udp', up: false },
        ],
      },
    });
    const ask = async (method: string) =>
      JSON.parse(String(await gateway.ask(`{"id":1,"method":"${method}"}`, device))).result;
    expect(await ask('info')).toMatchObject({
      link: 'modem',
      modem: 'EG25',
      imei: MODEM_HEALTH.imei,
      iccid: MODEM_HEALTH.iccid,
    });
    expect(await ask('health')).toMatchObject({
      link: 'modem',
      linkSince: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      linkSwitches: 1,
      registration: 'roaming',
      operator: '23415',
      signalDbm: -71,
    });
  });

  it('sizes replies and refuses events by the limit of the smaller link', async () => {
    const { agent, gateway, modem, address } = await startAgent();
    modem?.take(1024);
    const reply = await gateway.ask(`#1 echo ${'x'.repeat(1200)}`, { address, port: 6969 });
    expect(reply.length).toBeLessThanOrEqual(1024);
    expect(String(reply)).toMatch(/cut, 1200 bytes/);
    await expect(agent.emit(Buffer.alloc(1025))).rejects.toMatchObject({ code: 'too-large' });
    await agent.emit(Buffer.alloc(1024, 'x'));
    expect((await gateway.next()).bytes).toHaveLength(1024);
  });
});

describe('the link policy', () => {
  it('modem uses the modem alone, with all settings', async () => {
    const { agent, gateway, modem, address } = await startAgent({
      link: { policy: 'modem' },
      modem: { path: '/dev/m', pin: '0123' },
    });
    expect(await gateway.ask('ping', { address: modem?.listens ?? '', port: 6969 })).toEqual(Buffer.from('ok pong'));
    expect(agent.status().link).toMatchObject({ name: 'modem', links: [{ name: 'modem' }] });
    await openPeer(address, 6969);
    expect(made.map(({ options }) => options)).toMatchObject([
      {
        path: '/dev/m',
        dialect: 'auto',
        baudRate: 115_200,
        flowControl: 'none',
        apn: 'super',
        pin: '0123',
        ports: [6969],
        gateway: gateway.endpoint,
        stateFolder: expect.any(String),
      },
    ]);
    expect(modem?.interruptions).toEqual([]);
  });

  it('udp does not load the modem, nor does an agent without one', async () => {
    const { agent } = await startAgent({ link: { policy: 'udp' } });
    const { agent: other } = await startAgent({ modem: {} });
    for (const one of [agent, other])
      expect(one.status().link).toMatchObject({ name: 'udp', switches: 0, links: [{ name: 'udp', up: true }] });
    expect(made).toEqual([]);
  });

  it('auto listens on the interface that link.interface names', async () => {
    const { agent, address } = await startAgent({ listen: {}, link: { interface: 'wwan0' } });
    expect(agent.status().address).toBe(address);
  });
});
