import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { controlClient } from '../../agent/service/control/client.js';
import { statusSchema } from '../../agent/service/control/schema.js';
import type { DialectName } from '../../loopback/index.js';
import { IpCommandClient } from '../../sender/index.js';
import { watchCommands } from '../../sender/replies/watch.js';
import { payloadBytes } from '../../shared/ip-command.js';
import { environment } from '../agent/cli/support.js';
import { linesOf } from '../support/device.js';
import { temporaryFolder, writeFile } from '../support/files.js';
import { type Host, twoHosts } from '../support/namespaces.js';
import { needs } from '../support/needs.js';
import { program } from '../support/process.js';
import { linkPath } from '../support/pty.js';
import { MODEMS } from '../support/story-links.js';

const CREDENTIALS = { accountSid: `AC${'5'.repeat(32)}`, authToken: 'secret' };
const ADDRESS = '100.64.0.123/10';
const ROUTE = '100.64.0.0/10';
/** One of the interface, one of the modem. */
const SIMS = ['gateway-1', 'modem-1'] as const;
const WAIT = { timeout: 30_000, interval: 100 };
/** How long each state of the links lasts, at least, under fire. */
const LASTS_MS = 500;
const BETWEEN_COMMANDS_MS = 40;

interface Scene {
  readonly dialect: DialectName;
  /** The gateway is on Ethernet as well: there is a route to anywhere, and what goes there by it nobody takes. */
  readonly ethernet: boolean;
}
const IS_SOAK = process.env['SOAK_MODEMS'] !== undefined;
const SCENES = MODEMS.flatMap((dialect) =>
  (IS_SOAK ? [false, true] : [false]).map((ethernet): Scene => ({ dialect, ethernet })),
);

function plugEthernet(device: Host): void {
  device.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'nowhere');
  device.ip('link', 'set', 'nowhere', 'up');
  device.ip('address', 'add', '192.0.2.2/24', 'dev', 'eth0');
  device.ip('link', 'set', 'eth0', 'up');
  device.ip('route', 'add', 'default', 'via', '192.0.2.1');
}

/** The network end with a virtual modem, and a gateway that has an interface and that modem; each a process of its own. */
async function start({ dialect, ethernet }: Scene) {
  const [network, device] = twoHosts();
  network.ip('address', 'add', '100.64.0.1/10', 'dev', 'wwan0');
  device.ip('address', 'add', ADDRESS, 'dev', 'wwan0');
  if (ethernet) plugEthernet(device);
  const [folder, path] = [temporaryFolder(), linkPath()];
  const sims = writeFile(folder, 'sims.yaml', `- { name: ${SIMS[0]}, address: 100.64.0.123 }\n`);
  const { accountSid, authToken } = CREDENTIALS;
  const loopback = network.start(
    process.execPath,
    [
      ...[program('supersim'), 'loopback', '--gateway', '100.64.0.1:6969', '--sims', sims],
      ...['--modem', dialect, '--modem-path', path],
    ],
    { ...process.env, SUPERSIM_ACCOUNT_SID: accountSid, SUPERSIM_AUTH_TOKEN: authToken },
  );
  await loopback.line(/^ready/);
  const baseUrl = await network.reach(8080);

  const socket = join(folder, 'control.sock');
  const config = {
    modem: { path },
    link: { interface: 'wwan0', downFor: '1s', upFor: '1s' },
    state: { folder },
    control: { socket },
    modules: [writeFile(folder, 'handlers.mjs', readFileSync(resolve('test/support/device-handlers.mjs')))],
  };
  const file = writeFile(folder, 'config.yaml', JSON.stringify(config));
  const agent = device.start(
    process.execPath,
    [program('supersim-agent'), 'run', '--config', file],
    environment({ SUPERSIM_AGENT_LISTEN_RECEIVE_BUFFER_BYTES: '131072' }),
  );
  onTestFinished(() => agent.kill('SIGKILL'));
  const ask = controlClient(socket);
  const status = () => ask('GET', '/status', statusSchema);
  const isUp = async (name: string) => (await status()).link?.links.find((link) => link.name === name)?.up;
  await agent.line(/"agent started"/);
  const client = new IpCommandClient({ ...CREDENTIALS, baseUrl });
  return {
    device,
    agent,
    status,
    runs: () => linesOf(join(folder, 'runs')).map(Number),
    outcomes: await listen(client),
    command: (number: number, sim: string) => {
      const params = { number, ms: (number * 37) % 400 };
      const payload = JSON.stringify({ id: number, method: 'act.once', params });
      return client.create({ sim, payload, devicePort: 6969 });
    },
    modem: async (action: 'unplug' | 'plug') => {
      const authorization = `Basic ${Buffer.from(`${accountSid}:${authToken}`).toString('base64')}`;
      const body = JSON.stringify({ action });
      const response = await fetch(`${baseUrl}/loopback/modem`, { method: 'POST', headers: { authorization }, body });
      expect(response.status).toBe(200);
    },
    uses: (name: 'udp' | 'modem') => expect.poll(async () => (await status()).link?.name, WAIT).toBe(name),
    becomes: (name: 'udp' | 'modem', up: boolean) => expect.poll(() => isUp(name), WAIT).toBe(up),
    switches: () =>
      agent
        .output()
        .split('\n')
        .filter((line) => line.includes('"link switched"'))
        .map((line) => JSON.parse(line)),
  };
}

type Gateway = Awaited<ReturnType<typeof start>>;

/** Collects, of each command, which SIM told that it is done. */
async function listen(client: IpCommandClient): Promise<ReadonlyMap<number, string>> {
  const outcomes = new Map<number, string>();
  const end = new AbortController();
  onTestFinished(() => end.abort());
  const warn = (message: string) => {
    throw new Error(message);
  };
  const sleep = (ms: number, signal?: AbortSignal) => pause(ms, undefined, { signal });
  async function collect(ready: () => void): Promise<void> {
    for await (const command of watchCommands(client, { interval: 250, signal: end.signal, sleep, ready, warn })) {
      const { id, result } = JSON.parse(payloadBytes(command).toString());
      // A repeat may come before the end, and says so.
      if (result === `ran ${id}`) outcomes.set(id, command.sim_sid);
    }
  }
  await new Promise<void>((ready) => void collect(ready));
  return outcomes;
}

const LINK = { off: ['link', 'set', 'wwan0', 'down'], on: ['link', 'set', 'wwan0', 'up'] };
/** Each way in which the interface can go, and how it comes back. */
const AWAY = [
  LINK,
  { off: ['address', 'delete', ADDRESS, 'dev', 'wwan0'], on: ['address', 'add', ADDRESS, 'dev', 'wwan0'] },
  { off: ['route', 'delete', ROUTE, 'dev', 'wwan0'], on: ['route', 'add', ROUTE, 'dev', 'wwan0'] },
];

/** The interface, the modem, and both in turn go and come. */
async function takeTurns({ device, status, modem, uses, becomes }: Gateway): Promise<void> {
  for (const { off, on } of AWAY) {
    await pause(LASTS_MS);
    device.ip(...off);
    await uses('modem');
    await pause(LASTS_MS);
    device.ip(...on);
    await uses('udp');
  }
  await pause(LASTS_MS);
  await modem('unplug');
  await becomes('modem', false);
  await pause(LASTS_MS);
  await modem('plug');
  await becomes('modem', true);
  // Both, the interface first, and back first.
  device.ip(...LINK.off);
  await uses('modem');
  await modem('unplug');
  await becomes('modem', false);
  await expect.poll(async () => (await status()).outbox?.entries, WAIT).toBeGreaterThan(0);
  device.ip(...LINK.on);
  await uses('udp');
  await modem('plug');
  await becomes('modem', true);
  // The modem first.
  await modem('unplug');
  device.ip(...LINK.off);
  await becomes('modem', false);
  await becomes('udp', false);
  await modem('plug');
  await uses('modem');
  device.ip(...LINK.on);
  await uses('udp');
  await pause(LASTS_MS);
}

/** Sends commands to both SIMs in turn, some of them to each, until this is done. @returns how many commands */
async function commandDuring(done: Promise<void>, { command }: Gateway): Promise<number> {
  let isDone = false;
  const end = done.finally(() => {
    isDone = true;
  });
  let count = 0;
  for (; !isDone; count++) {
    await command(count, SIMS[count % 2] ?? '');
    if (count % 5 === 0) await command(count, SIMS[(count + 1) % 2] ?? '');
    await pause(BETWEEN_COMMANDS_MS);
  }
  await end;
  return count;
}

describe.skipIf(needs('root', 'ip', 'node-pty')).each(SCENES)('with a $dialect modem, Ethernet: $ethernet', (scene) => {
  test('while wwan0, the modem or both are unplugged, every command is answered once, only later', {
    timeout: 180_000,
  }, async () => {
    const gateway = await start(scene);
    const { status, runs, outcomes, command, becomes, switches } = gateway;
    await becomes('udp', true);
    await becomes('modem', true);
    expect((await status()).link).toMatchObject({
      name: 'udp',
      switches: 0,
      links: [
        { name: 'udp', address: '100.64.0.123' },
        { name: 'modem', modem: { registration: 'roaming' } },
      ],
    });

    const count = await commandDuring(takeTurns(gateway), gateway);

    await expect.poll(async () => (await status()).outbox?.entries, WAIT).toBe(0);
    // Each outcome has come unasked: what is asked again is what never reached the device. What leaves by Ethernet until
    // that is noticed is lost on its way, and told to who asks again.
    const untold = () => runs().filter((number) => !outcomes.has(number));
    if (!scene.ethernet) await expect.poll(untold, WAIT).toEqual([]);
    const all = Array.from({ length: count }, (_, number) => number);
    const reached = runs().length;
    expect(reached).toBeGreaterThan(count / 3);
    const lacking = () => all.filter((number) => !outcomes.has(number));
    for (let round = 0; round < 40 && lacking().length > 0; round++) {
      for (const number of lacking()) {
        await command(number, SIMS[round % 2] ?? '');
        await pause(BETWEEN_COMMANDS_MS / 2);
      }
      await pause(1000);
    }
    expect(lacking()).toEqual([]);
    expect(runs().toSorted((a, b) => a - b)).toEqual(all);

    const { link, outbox, counters } = await status();
    expect(outbox).toMatchObject({ entries: 0, drops: { count: 0, bytes: 0, expired: 0 } });
    expect(counters.outcomes).toMatchObject({ done: count, interrupted: 0 });
    expect(new Set(outcomes.values()).size).toBe(SIMS.length);
    const logged = switches();
    expect(link).toMatchObject({ name: 'udp', switches: logged.length });
    expect(logged.map(({ to }) => to)).toEqual(logged.map((_, index) => (index % 2 === 0 ? 'modem' : 'udp')));
    expect(logged.length).toBeGreaterThanOrEqual(10);
    if (IS_SOAK) {
      const told = logged.map(({ to, why }) => `${to} (${why})`).join(', ');
      console.log(`${JSON.stringify(scene)}: ${count} commands, ${reached} reached the device at once; ${told}`);
    }
  });
});
