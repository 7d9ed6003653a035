import { networkInterfaces } from 'node:os';
import { decode as decodeCbor, encode as encodeCbor } from 'cborg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { createAgent, defineHandler, z } from '../../agent/index.js';
import { IpCommandClient } from '../../sender/index.js';
import { payloadBytes } from '../../shared/ip-command.js';
import { requestBytes, withoutId } from '../support/coap.js';
import { temporaryFolder } from '../support/files.js';
import { interfacesOf } from '../support/links.js';
import { recordingLog } from '../support/log.js';
import { EVERY_BYTE } from '../support/modem.js';
import { needs } from '../support/needs.js';
import { linkPath } from '../support/pty.js';
import { startTestLoopback } from '../support/round-trip.js';

vi.mock('node:os', { spy: true });

const TEST_MS = 120_000;
const UP_MS = 30_000;
const COMMANDS = 300;

/** An agent with a virtual modem, and a cellular interface of its own that the test can take away. */
async function startAgent(config: ConfigInput = {}) {
  const path = linkPath();
  const loopback = await startTestLoopback({ modem: { dialect: 'quectel', path } });
  const { modem, gateway } = loopback;
  const [sim] = loopback.sims;
  if (modem === undefined || sim === undefined) throw new Error('the loopback has no modem or no SIM');
  const { address } = sim;
  const cellular = (isThere: boolean) => {
    const all = isThere ? { wwan0: [address, gateway.address, '127.0.0.1'] } : { eth0: [gateway.address, '127.0.0.1'] };
    vi.mocked(networkInterfaces).mockReturnValue(interfacesOf(all));
  };
  onTestFinished(() => void vi.mocked(networkInterfaces).mockReset());
  cellular(true);
  const runs = new Map<number, number>();
  const count = defineHandler({
    name: 'count',
    description: 'Takes its time',
    params: z.object({ n: z.number() }),
    async run({ n }) {
      runs.set(n, (runs.get(n) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, (n * 37) % 300));
      return n;
    },
  });
  const recording = recordingLog();
  const agent = createAgent({
    handlers: [count],
    log: recording.log,
    config: {
      listen: { address: 'wwan0', receiveBufferBytes: 1_048_576 },
      gateway,
      allow: ['127.0.0.0/8', '100.64.0.0/10'],
      state: { folder: temporaryFolder() },
      modem: { path },
      link: { downFor: '1s', upFor: '1s' },
      ...config,
    },
  });
  onTestFinished(() => agent.stop());
  await agent.start();
  const modemLink = () => agent.status().link?.links.find(({ name }) => name === 'modem');
  await expect.poll(modemLink, { timeout: UP_MS }).toMatchObject({ up: true });
  const client = new IpCommandClient({
    accountSid: loopback.accountSid,
    authToken: loopback.authToken,
    baseUrl: loopback.url,
  });
  const replies: { readonly bytes: Buffer; readonly sim: string }[] = [];
  loopback.onEvent((event) => {
    if (event.type !== 'command' || event.command.direction !== 'from_sim') return;
    replies.push({ bytes: payloadBytes(event.command), sim: event.simName });
  });
  return {
    agent,
    modem,
    modemLink,
    cellular,
    runs,
    recording,
    replies,
    simName: sim.uniqueName,
    command: (payload: string | Uint8Array, to: string) => client.create({ sim: to, payload, devicePort: 6969 }),
  };
}

describe.skipIf(needs('node-pty'))('an agent with a modem', { timeout: TEST_MS }, () => {
  test('is commanded through the API in every format, by the modem alone', async () => {
    const { agent, modem, replies, command } = await startAgent({ link: { policy: 'modem' } });
    const ask = async (payload: string | Uint8Array) => {
      const before = replies.length;
      await command(payload, modem.simName);
      await expect.poll(() => replies.length).toBe(before + 1);
      return replies[before]?.bytes ?? Buffer.alloc(0);
    };
    expect((await ask('#7 ping')).toString()).toBe('#7 ok pong');
    const json = { jsonrpc: '2.0', method: 'echo', params: { a: [1, 'ü'] }, id: 'x' };
    expect(JSON.parse((await ask(JSON.stringify(json))).toString())).toEqual({
      jsonrpc: '2.0',
      result: json.params,
      id: 'x',
    });
    const cbor = decodeCbor(await ask(encodeCbor({ method: 'echo', params: [EVERY_BYTE], id: 1 })));
    const { result } = z.object({ result: z.instanceof(Uint8Array) }).parse(cbor);
    expect(Buffer.from(result)).toEqual(EVERY_BYTE);
    expect(withoutId(await ask(requestBytes({ path: 'ping', token: 'abc' })))).toContain('2.04');
    expect(agent.status().link).toMatchObject({ name: 'modem', links: [{ name: 'modem', modem: { model: 'BG96' } }] });
  });

  test('runs each command once and tells each outcome, while the address, the modem, and both go and come', async () => {
    const { agent, modem, modemLink, cellular, runs, recording, replies, simName, command } = await startAgent();
    const answered = () => {
      const all = new Map<number, string>();
      for (const { bytes, sim } of replies) {
        const { id, result } = JSON.parse(bytes.toString());
        // A repeat may come before the end, and says so.
        if (result === id) all.set(id, sim);
      }
      return all;
    };
    const ask = (n: number, to: number) =>
      command(JSON.stringify({ id: n, method: 'count', params: { n } }), to % 2 === 0 ? simName : modem.simName);

    const turns: Promise<void> = (async () => {
      const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
      const modemIs = (up: boolean) => expect.poll(modemLink, { timeout: UP_MS }).toMatchObject({ up });
      await pause(1000);
      cellular(false);
      await pause(3500);
      cellular(true);
      await pause(3500);
      await Promise.all([modem.reset(), modemIs(false)]);
      await modemIs(true);
      cellular(false);
      await Promise.all([modem.reset(), modemIs(false)]);
      await modemIs(true);
      await pause(2000);
      cellular(true);
      await pause(2500);
    })();
    for (let n = 0; n < COMMANDS; n++) {
      await ask(n, n);
      if (n % 5 === 0) await ask(n, n + 1);
      if (n % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 60));
    }
    await turns;
    // Each outcome has come unasked: what is asked again is what never reached the device.
    await expect.poll(() => agent.status().outbox?.entries, { timeout: 20_000 }).toBe(0);
    await expect.poll(() => [...runs.keys()].filter((n) => !answered().has(n)), { timeout: 10_000 }).toEqual([]);
    const lost = COMMANDS - runs.size;
    expect(lost).toBeLessThan(COMMANDS / 2);
    for (let round = 0; round < 40 && answered().size < COMMANDS; round++) {
      const known = answered();
      for (let n = 0; n < COMMANDS; n++) if (!known.has(n)) await ask(n, round);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }

    expect(answered().size).toBe(COMMANDS);
    expect(runs.size).toBe(COMMANDS);
    expect([...runs.values()].every((times) => times === 1)).toBe(true);
    await expect.poll(() => agent.status().outbox?.entries, { timeout: 20_000 }).toBe(0);
    expect(agent.status().outbox?.drops).toEqual({ count: 0, bytes: 0, expired: 0 });
    expect(new Set(answered().values())).toEqual(new Set([simName, modem.simName]));
    const switches = recording.withMessage('link switched').map(({ details }) => details['to']);
    expect(switches.slice(0, 2)).toEqual(['modem', 'udp']);
  });
});
