import { chmodSync } from 'node:fs';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { watch } from '../../../sender/cli/api/watch.js';
import { device, post, receiver } from '../../loopback/support.js';
import { Sink } from '../../sender/support.js';
import { apiEnv, secrets, startListen } from '../../support/listen.js';
import { makeOperatorKeys } from '../../support/operator-keys.js';
import { nextReplyBytes, startTestAgent, startTestLoopback } from '../../support/round-trip.js';
import { randomAddress } from '../../support/udp.js';

/** Two SIMs with a key and a third without, and the agent of the first, which sends its events under its key. */
async function makeScene() {
  const names = ['gateway-1', 'gateway-2', 'plain'];
  const loopback = await startTestLoopback({ sims: names.map((name) => ({ name, address: randomAddress() })) });
  const [sim, otherSim, plainSim] = loopback.sims;
  if (sim === undefined || otherSim === undefined || plainSim === undefined) throw new Error('there are three SIMs');
  const keys = makeOperatorKeys([sim, otherSim]);
  const agent = await startTestAgent(loopback, 'gateway-1', { config: keys.agentConfig(sim), trustsClock: true });

  async function byWebhooks(args: object = {}) {
    const listening = startListen({ json: true, ...args }, { ...secrets(loopback), ...keys.env });
    await listening.ready();
    await post(loopback, '/v1/Fleets/fleet-1', { IpCommandsUrl: listening.url() });
    return listening;
  }

  async function byPolling(args: object = {}) {
    const env = { ...apiEnv(loopback), ...keys.env };
    const listening = startListen({ json: true, poll: true, port: undefined, interval: '1s', ...args }, env);
    await listening.ready();
    return listening;
  }

  return {
    ...{ loopback, keys, agent, otherSim, plainSim, sim, byWebhooks, byPolling },
    /** Sends an event, and returns its datagram. */
    async emit(event: string, data?: unknown): Promise<Buffer> {
      const sent = nextReplyBytes(loopback);
      await agent.emit(event, data);
      return sent;
    },
    /** Sends bytes from the address of a SIM; the API takes them for its own. */
    async inject(bytes: Buffer | string, from = sim) {
      const { send } = await device(from.address);
      await send(bytes, loopback.gateway);
    },
  };
}

type Lines = Pick<ReturnType<typeof startListen>, 'lines'>;

const read = ({ lines }: Lines): unknown[] => lines().map((line) => JSON.parse(line));

const REPEATED = /^warning: an event of \S+ that was reported before came again, and is not shown$/m;

describe('supersim listen', () => {
  it('opens the events of an agent, and forwards what it opened', async () => {
    const mine = await receiver(200);
    const { byWebhooks, emit, sim } = await makeScene();
    const listening = await byWebhooks({ json: false, forwardTo: mine.url });
    const bytes = await emit('door.opened', { door: 3 });
    expect(bytes.includes('door')).toBe(false);
    await listening.line(0);
    await emit('door.closed');
    await listening.line(1);
    expect(JSON.parse((await mine.requests.take()).body)).toMatchObject({
      ...{ kind: 'event', event: 'door.opened', data: { door: 3 }, simSid: sim.sid },
      ...{ authentic: true, fresh: 'unknown', deviceId: sim.iccid },
    });
    expect(JSON.parse((await mine.requests.take()).body)).toMatchObject({ authentic: true, fresh: true });
    expect(listening.lines().toSorted()).toEqual([
      expect.stringMatching(/ event door\.opened {"door":3} \(authentic, may be old\): forwarded/),
      expect.stringMatching(/ event door\.closed \(authentic\): forwarded/),
    ]);
  });

  it('does not show an event again that is repeated on the path, and warns once', async () => {
    const { byWebhooks, emit, inject } = await makeScene();
    const listening = await byWebhooks();
    const bytes = await emit('door.opened');
    await listening.line(0);
    for (let copy = 0; copy < 3; copy++) await inject(bytes);
    await expect.poll(() => listening.stderr.text).toMatch(REPEATED);
    await emit('door.closed');
    await listening.line(1);
    expect(read(listening)).toMatchObject([{ event: 'door.opened' }, { event: 'door.closed' }]);
    expect(listening.stderr.text.match(new RegExp(REPEATED, 'gm'))).toHaveLength(1);
  });

  it('does not show it again after a restart', async () => {
    const { byWebhooks, emit, inject } = await makeScene();
    const first = await byWebhooks();
    const bytes = await emit('door.opened');
    await first.line(0);
    first.stop();
    await first.code;
    const second = await byWebhooks();
    await inject(bytes);
    await expect.poll(() => second.stderr.text).toMatch(REPEATED);
    await emit('door.closed');
    await second.line(0);
    expect(read(second)).toMatchObject([{ event: 'door.closed', fresh: true }]);
  });

  it('shows an event once that two of them see, by webhook and by the list', async () => {
    const { byWebhooks, byPolling, emit } = await makeScene();
    const [webhooks, list] = [await byWebhooks(), await byPolling()];
    const both = () => [webhooks, list].flatMap(read);
    for (const event of ['one', 'two', 'three']) await emit(event);
    await expect.poll(both).toHaveLength(3);
    webhooks.stop();
    await webhooks.code;
    // Only the list has it; what came before has been read then.
    await emit('four');
    await expect.poll(both).toHaveLength(4);
    for (const event of ['one', 'two', 'three', 'four']) {
      expect(both()).toContainEqual(expect.objectContaining({ event, authentic: true }));
    }
    expect([webhooks, list].map(({ stderr }) => stderr.text).join('')).toMatch(REPEATED);
  });

  it('tells what anyone may have written', async () => {
    const { byPolling, emit, inject, otherSim, plainSim } = await makeScene();
    const listening = await byPolling();
    const bytes = await emit('door.opened');
    await inject(bytes, otherSim);
    await inject('{"event":"door.opened"}');
    await inject('{"event":"door.opened"}', plainSim);
    await listening.line(3);
    expect(read(listening)).toMatchObject([
      { kind: 'event', authentic: true },
      { kind: 'sealed', authentic: false, reason: 'bad-tag', simSid: otherSim.sid },
      { kind: 'event', authentic: false, reason: 'unprotected' },
      { kind: 'event', authentic: false, simSid: plainSim.sid },
    ]);
  });

  it('does not start while others can read the keys', async () => {
    const { keys, loopback } = await makeScene();
    chmodSync(keys.path, 0o644);
    const { code, stderr } = startListen({}, { ...secrets(loopback), ...keys.env });
    expect(await code).not.toBe(0);
    expect(stderr.text).toMatch(/^error profile-unsafe/);
  });
});

describe('supersim watch', () => {
  it.each([true, false])('shows opened events, and takes none away from listen; as JSON: %s', async (json) => {
    const { byPolling, emit, inject, keys, loopback } = await makeScene();
    const [stdout, stderr, abort] = [new Sink(), new Sink(), new AbortController()];
    const io = { env: { ...apiEnv(loopback), ...keys.env }, stdin: Readable.from([]), stdout, stderr };
    const watching = watch({ json, interval: '1s' }, { ...io, sleep: (ms) => sleep(ms) }, abort.signal);
    onTestFinished(async () => {
      abort.abort();
      await watching;
    });
    await expect.poll(() => stderr.text).toContain('watching');
    await emit('door.opened', { door: 3 });
    await emit('door.closed');
    await inject('{"event":"forged"}');
    const lines = () => stdout.text.split('\n').slice(json ? 0 : 1, -1);
    await expect.poll(lines).toHaveLength(3);
    if (json) {
      expect(lines().map((line) => JSON.parse(line))).toMatchObject([
        {
          ...{ direction: 'from_sim', payload: expect.any(String), authentic: true, fresh: 'unknown' },
          opened: { kind: 'event', event: 'door.opened', data: { door: 3 } },
        },
        { authentic: true, fresh: true, opened: { event: 'door.closed' } },
        { authentic: false, reason: 'unprotected', payload: Buffer.from('{"event":"forged"}').toString('base64') },
      ]);
    } else {
      expect(lines()).toEqual([
        expect.stringMatching(/ {2}event door\.opened {"door":3} \(authentic, may be old\)$/),
        expect.stringMatching(/ {2}event door\.closed \(authentic\)$/),
        expect.stringMatching(/ {2}{"event":"forged"} \(not authentic: the SIM has a key\)$/),
      ]);
    }
    const listening = await byPolling();
    await emit('door.opened again');
    await expect.poll(lines).toHaveLength(4);
    await listening.line(0);
    expect(read(listening)).toMatchObject([{ event: 'door.opened again', authentic: true }]);
  });
});
