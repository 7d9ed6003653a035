import { randomBytes } from 'node:crypto';
import { expect, onTestFinished } from 'vitest';
import { IpCommandClient } from '../../../../sender/api/client.js';
import { openWebhookServer } from '../../../../sender/listen/server.js';
import { webhookReplies } from '../../../../sender/replies/webhook-replies.js';
import { createRequester, type RequestOptions } from '../../../../sender/request/request.js';
import type { RequestResult } from '../../../../sender/request/result.js';
import type { AuthenticEvent } from '../../../../sender/security/events.js';
import { openSecurity } from '../../../../sender/security/security.js';
import type { Callback } from '../../../../sender/webhooks/callback.js';
import { createWebhookReceiver } from '../../../../sender/webhooks/receiver.js';
import { payloadBytes } from '../../../../shared/ip-command.js';
import { DEVICE_PORT } from '../../../../shared/limits.js';
import { post } from '../../../loopback/support.js';
import { makeOperatorKeys } from '../../../support/operator-keys.js';
import { startTestLoopback } from '../../../support/round-trip.js';
import { openPeer } from '../../../support/udp.js';
import { prepareVault } from './device.js';

const HOUR_MS = 3_600_000;
/** Of the protocol's times: the first repeat comes after 0.6 s or more. */
const TIME_SCALE = 0.02;
const POSTS_AT_ONCE = 8;
const WAIT = { timeout: 20_000 };
/** Not `vault.destroy`. */
const ALLOWED = [
  'ping',
  ...['survey', 'inventory', 'unlock', 'deposit', 'jammed', 'sirens'].map((name) => `vault.${name}`),
];

export type Scene = Awaited<ReturnType<typeof openScene>>;

/** A device with a key, a sender that hears of answers and events by webhook, and an attacker who is everywhere between. */
export async function openScene() {
  const loopback = await startTestLoopback();
  const [sim] = loopback.sims;
  if (sim === undefined) throw new Error('the loopback has no SIM');
  const keys = makeOperatorKeys([sim], { allow: ALLOWED });
  const device = prepareVault(loopback, sim.address, keys.agentConfig(sim));
  await device.start();
  const captured = { toSim: [] as Buffer[], fromSim: [] as Buffer[] };
  loopback.onEvent((event) => {
    if (event.type !== 'command') return;
    const { status } = event.command;
    if (status === 'queued') captured.toSim.push(payloadBytes(event.command));
    if (status === 'received') captured.fromSim.push(payloadBytes(event.command));
  });
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl });
  let hours = 0;
  const security = openSecurity({ env: keys.env, now: () => Date.now() + hours * HOUR_MS });
  onTestFinished(() => security.close());
  const replies = webhookReplies();
  const events: AuthenticEvent[] = [];
  const heard: Callback[] = [];
  let keptBack: Callback[] | undefined;
  const receiver = createWebhookReceiver({
    koreSecret: loopback.webhookSecret,
    security,
    onCallback(callback) {
      heard.push(callback);
      if (callback.opened?.kind === 'event') events.push(callback.opened);
      if (keptBack === undefined) replies.handleCallback(callback);
      else keptBack.push(callback);
    },
  });
  const server = await openWebhookServer(receiver, { address: '127.0.0.1', port: 0 }, (_, reason) => {
    throw new Error(reason);
  });
  onTestFinished(() => server.close());
  await post(loopback, '/v1/Fleets/fleet-1', { IpCommandsUrl: server.url });
  const options = { client, security, replies, timeScale: TIME_SCALE };
  const request = createRequester(options);
  const atSim = await openPeer(sim.address);

  /** Lets some datagrams be taken by the webhook receiver, and waits for that. */
  async function untilHeard(count: number, deliver: () => Promise<void>): Promise<void> {
    const total = () => receiver.counters.accepted + receiver.counters.replayed;
    const before = total();
    await deliver();
    await expect.poll(total, WAIT).toBeGreaterThanOrEqual(before + count);
    await receiver.settled();
  }

  return {
    ...{ loopback, sim, device, captured, events, heard, request, options, key: keys.keyOf(sim) },
    /** Sets the sender's clock. */
    setHour(hour: number): void {
      hours = hour;
    },
    /** Posts datagrams for the SIM, as the holder of the API's credentials can. */
    async post(datagrams: readonly Buffer[]): Promise<void> {
      for (let at = 0; at < datagrams.length; at += POSTS_AT_ONCE) {
        const some = datagrams.slice(at, at + POSTS_AT_ONCE);
        await Promise.all(some.map((payload) => client.create({ sim: sim.sid, payload, devicePort: DEVICE_PORT })));
      }
    },
    /** Sends datagrams in the SIM's name, and waits until the sender has heard of all: by webhooks, with other SIDs. */
    inject: (datagrams: readonly Buffer[]) =>
      untilHeard(datagrams.length, async () => {
        for (const bytes of datagrams) await atSim.send(bytes, loopback.gateway);
      }),
    /** Keeps what the device sends back from the requests that wait, from now on. */
    keepAnswersBack(): void {
      keptBack = [];
    },
    /** Waits for the first answer that is kept back. */
    async keptBackAnswer(): Promise<Callback & { payload: Buffer }> {
      await expect.poll(() => keptBack?.length, WAIT).toBeGreaterThan(0);
      const [answer] = keptBack ?? [];
      if (answer?.payload === undefined) throw new Error('what is kept back is no answer');
      return { ...answer, payload: answer.payload };
    },
    /** Gives the requests that wait a datagram, as the webhook of another IP Command. */
    answerWith(callback: Callback, payload: Buffer): void {
      replies.handleCallback({ ...callback, sid: `HG${randomBytes(16).toString('hex')}`, payload });
    },
    /** Ends {@link keepAnswersBack}; what was kept back is gone. */
    letAnswersPass(): void {
      keptBack = undefined;
    },
    /** Makes requests of which no datagram reaches the device, and returns these. */
    async keepRequestsBack(
      requests: readonly ((options: Pick<RequestOptions, 'signal'>) => Promise<RequestResult>)[],
    ): Promise<Buffer[]> {
      loopback.setFaults({ down: { loss: 1 } });
      const before = captured.toSim.length;
      const kept = () => new Map(captured.toSim.slice(before).map((bytes) => [bytes.toString('hex'), bytes]));
      const stop = new AbortController();
      const results = requests.map((make) => make({ signal: stop.signal }));
      await expect.poll(() => kept().size, WAIT).toBe(requests.length);
      stop.abort();
      expect((await Promise.all(results)).map(({ outcome }) => outcome)).toEqual(requests.map(() => 'no-answer'));
      // In the loopback they leave after the API's answer.
      await expect.poll(() => loopback.faults().packets.down, WAIT).toBe(captured.toSim.length - before);
      loopback.setFaults({});
      return [...kept().values()];
    },
    /** Waits until the agent has looked at all that was sent to it: it answers what is sent now. */
    async looksAtAll(): Promise<void> {
      expect(await request(sim.sid, 'ping', undefined, { get: true })).toMatchObject({
        result: 'pong',
        authentic: true,
      });
    },
  };
}
