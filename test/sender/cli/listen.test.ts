import { createHash } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import twilio from 'twilio';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as z from 'zod';
import type { Loopback, LoopbackOptions } from '../../../loopback/index.js';
import { device, post, receiver } from '../../loopback/support.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { apiEnv, secrets, startListen } from '../../support/listen.js';
import { startTestAgent, startTestLoopback } from '../../support/round-trip.js';
import { randomAddress } from '../../support/udp.js';

async function startWithWebhooks(options: LoopbackOptions = {}, args: object = {}) {
  const loopback = await startTestLoopback(options);
  const env = options.webhooks === 'twilio' ? twilioEnv(loopback) : secrets(loopback);
  const listening = startListen(args, env);
  await listening.ready();
  await post(loopback, '/v1/Fleets/fleet-1', { IpCommandsUrl: listening.url() });
  const sim = await device(loopback.sims[0]?.address);
  const send = (bytes: Buffer | string) => sim.send(bytes, loopback.gateway);
  return { loopback, sim, send, ...listening };
}

const twilioEnv = ({ accountSid, authToken }: Loopback) => ({
  SUPERSIM_ACCOUNT_SID: accountSid,
  SUPERSIM_AUTH_TOKEN: authToken,
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

describe('supersim listen', () => {
  it.each(['kore', 'twilio'] as const)('prints a decoded line for each webhook of %s', async (webhooks) => {
    const { send, lines, line, loopback, sim, url } = await startWithWebhooks({ webhooks });
    await send('{"event":"door.opened","data":{"door":3}}');
    await line(0);
    await send(Buffer.from([0, 255]));
    await line(1);
    const form = { Sim: 'gateway-1', Payload: 'ping', DevicePort: `${sim.port}`, CallbackUrl: url() };
    await post(loopback, '/v1/IpCommands', form);
    await line(2);
    const [event, bytes, status] = lines();
    expect(event).toMatch(/^\S+Z HG\w{32} ← gateway-1 event door\.opened {"door":3}$/);
    expect(bytes).toMatch(/← gateway-1 bytes 0x00ff$/);
    expect(status).toMatch(/→ gateway-1 sent$/);
    expect(lines()).toHaveLength(3);
  });

  it('forwards events as JSON, and prints the result', async () => {
    const mine = await receiver(503, 200);
    const { send, lines, line } = await startWithWebhooks({}, { forwardTo: `${mine.url}/supersim` });
    await send('#7 ok pong');
    await line(0);
    const { method, url, body } = await mine.requests.take();
    expect([method, url]).toEqual(['POST', '/supersim']);
    expect(JSON.parse(body)).toMatchObject({
      ...{ kind: 'reply', format: 'text', id: '7', result: 'pong' },
      ...{ direction: 'from_sim', status: 'received', simUniqueName: 'gateway-1', heardAt: expect.any(String) },
    });
    expect((await mine.requests.take()).body).toBe(body);
    expect(lines()[0]).toMatch(/reply 7 ok "pong": forwarded \(HTTP 200, 2 attempts\)$/);
  });

  it('prints the JSON for programs, safe for a terminal', async () => {
    const { send, lines, line } = await startWithWebhooks({}, { json: true });
    await send('{"event":"say","data":"\\u001b[2J"}');
    await line(0);
    expect(lines()[0]).not.toContain('\u001b');
    expect(JSON.parse(lines()[0] ?? '')).toMatchObject({ kind: 'event', event: 'say', data: '\u001b[2J' });
  });

  it('prints an agent’s events', async () => {
    const loopback = await startTestLoopback();
    const listening = startListen({ json: true }, secrets(loopback));
    await listening.ready();
    await post(loopback, '/v1/Fleets/fleet-1', { IpCommandsUrl: listening.url() });
    const agent = await startTestAgent(loopback);
    await agent.emit('relay.changed', { channel: 1 });
    await listening.line(0);
    expect(JSON.parse(listening.lines()[0] ?? '')).toMatchObject({ event: 'relay.changed', data: { channel: 1 } });
  });

  it('refuses unsigned requests, warns once, and does not forward them', async () => {
    const mine = await receiver(200);
    const { url, stderr, lines } = await startWithWebhooks({}, { forwardTo: mine.url });
    const form = { Sid: `HG${'a'.repeat(32)}`, Status: 'received', Payload: 'cG9uZw==', SimUniqueName: 'gateway-1' };
    for (const headers of [{}, {}, { 'kore-signature': 'f'.repeat(64) }]) {
      expect((await fetch(url(), { method: 'POST', headers, body: new URLSearchParams(form) })).status).toBe(403);
    }
    expect(stderr.text.match(/^warning: refused with HTTP 403: /gm)).toHaveLength(1);
    expect(lines()).toEqual([]);
    expect(mine.count()).toBe(0);
  });

  it('ends on Ctrl-C with 0, after forwarding what was received', async () => {
    const mine = await receiver('silent');
    const { send, stop, code, lines, stderr } = await startWithWebhooks({}, { forwardTo: mine.url });
    await send('hello');
    await mine.requests.take();
    stop();
    await sleep(50);
    mine.release();
    expect(await code).toBe(0);
    expect(lines()).toHaveLength(1);
    expect(stderr.text).not.toContain('warning');
  });

  it('warns of events that were not forwarded, and exits with 1', { timeout: 20_000 }, async () => {
    const mine = await receiver('silent');
    const { send, stop, code, stderr } = await startWithWebhooks({}, { forwardTo: mine.url });
    await send('hello');
    await mine.requests.take();
    stop();
    expect(await code).toBe(1);
    expect(stderr.text).toContain('warning: 1 events were not forwarded');
  });
});

describe('the line “ready” of supersim listen', () => {
  it('is printed once a probe has arrived by the public URL, which is not forwarded', async () => {
    const mine = await receiver(200);
    let target = '';
    const paths: string[] = [];
    // A proxy as the vendor would meet it: another host, another path.
    const proxy = await serve(async (request, response) => {
      paths.push(request.url ?? '');
      const body = (await Readable.from(request).toArray()).join('');
      while (target === '') await sleep(5);
      const headers = Object.entries(request.headers).flatMap(([name, value]) =>
        name.startsWith('kore') || name === 'content-type' ? [[name, String(value)] as [string, string]] : [],
      );
      const answer = await fetch(`${target}inside`, { method: 'POST', headers, body });
      response.writeHead(answer.status).end();
    });
    const listening = startListen(
      { publicUrl: `${proxy}/outside?tenant=a`, forwardTo: mine.url },
      { SUPERSIM_WEBHOOK_SECRET: 'secret' },
    );
    await expect.poll(() => listening.stderr.text).toMatch(/^listening on /m);
    target = listening.url();
    await listening.ready();
    expect(paths).toEqual(['/outside?tenant=a']);
    expect(listening.lines()).toEqual([]);
    expect(mine.count()).toBe(0);

    // What comes in afterwards is checked with the public URL.
    const body = new URLSearchParams({ Payload: 'cG9uZw==', SimUniqueName: 'a' }).toString();
    const signature = createHash('sha256').update(`secretPOST${proxy}/outside${body}`).digest('hex');
    const headers = { 'kore-signature': signature, 'content-type': 'application/x-www-form-urlencoded' };
    expect((await fetch(`${proxy}/outside`, { method: 'POST', headers, body })).status).toBe(204);
    await listening.line(0);
  });

  it.each<[string, RequestListener]>([
    ['answers for it', (_, response) => response.writeHead(502).end('bad gateway')],
    ['leads elsewhere', (_, response) => response.writeHead(302, { location: '/' }).end()],
  ])('is not printed when another server %s: exit code 1', async (_, listener) => {
    const publicUrl = await serve(listener);
    const { code, stderr } = startListen({ publicUrl }, { SUPERSIM_WEBHOOK_SECRET: 'secret' });
    expect(await code).toBe(1);
    expect(stderr.text).toMatch(/^error probe-failed: a webhook sent to http.* did not arrive here: HTTP /m);
    expect(stderr.text).not.toContain('ready');
  });

  it('is not printed when another server accepts the probe', async () => {
    const publicUrl = await serve((_, response) => response.writeHead(204).end());
    const { code, stderr } = startListen({ publicUrl }, { SUPERSIM_WEBHOOK_SECRET: 'secret' });
    expect(await code).toBe(1);
    expect(stderr.text).toContain('probe-failed');
  });
});

describe('supersim listen --poll', () => {
  it('forwards what devices send without webhooks', async () => {
    const mine = await receiver(200);
    const loopback = await startTestLoopback();
    const { ready, line, lines, stop, code } = startListen(
      { poll: true, port: undefined, interval: '1s', forwardTo: mine.url },
      apiEnv(loopback),
    );
    await ready();
    const { send } = await device(loopback.sims[0]?.address);
    await send('{"event":"started"}', loopback.gateway);
    await line(0);
    expect(JSON.parse((await mine.requests.take()).body)).toMatchObject({
      ...{ kind: 'event', event: 'started', simSid: loopback.sims[0]?.sid, direction: 'from_sim' },
    });
    expect(lines()[0]).toMatch(/event started: forwarded/);
    stop();
    expect(await code).toBe(0);
  });

  it('exits with 3 for wrong credentials', async () => {
    const loopback = await startTestLoopback();
    const { code } = startListen({ poll: true }, { ...apiEnv(loopback), SUPERSIM_CLIENT_SECRET: 'wrong' });
    expect(await code).toBe(3);
  });
});

describe('the webhook secret of supersim listen', () => {
  it('may be in a profile', async () => {
    const folder = temporaryFolder();
    const profile = writeFile(folder, 'profile.yaml', 'clientId: a\nclientSecret: b\nwebhookSecret: mine\n');
    const { ready, url } = startListen({ profile }, { SUPERSIM_WEBHOOK_SECRET: 'other' });
    await ready();
    const body = new URLSearchParams({ Payload: 'cG9uZw==', SimUniqueName: 'a' }).toString();
    const signature = createHash('sha256').update(`minePOST${url()}${body}`).digest('hex');
    const headers = { 'kore-signature': signature, 'content-type': 'application/x-www-form-urlencoded' };
    expect((await fetch(url(), { method: 'POST', headers, body })).status).toBe(204);
  });

  it('is the auth token for Twilio', async () => {
    const { ready, url } = startListen({}, { SUPERSIM_ACCOUNT_SID: 'AC1', SUPERSIM_AUTH_TOKEN: 'token' });
    await ready();
    const form = { Payload: 'cG9uZw==', SimUniqueName: 'a' };
    const headers = { 'x-twilio-signature': twilio.getExpectedTwilioSignature('token', url(), form) };
    expect((await fetch(url(), { method: 'POST', headers, body: new URLSearchParams(form) })).status).toBe(204);
  });

  it.each<[string, NodeJS.ProcessEnv, string | undefined]>([
    ['there is none', { HOME: '/nonexistent' }, undefined],
    [
      'there is an API key only',
      { SUPERSIM_ACCOUNT_SID: 'SK1', SUPERSIM_AUTH_TOKEN: 'x', HOME: '/nonexistent' },
      undefined,
    ],
    ['the profile has none', {}, 'clientId: a\nclientSecret: b\n'],
  ])('is required: %s', async (_, env, text) => {
    const profile = text === undefined ? undefined : writeFile(temporaryFolder(), 'profile.yaml', text);
    const { code, stderr } = startListen({ profile }, env);
    expect(await code).toBe(2);
    expect(stderr.text).toMatch(/^error no-credentials/);
    expect(stderr.text).toContain('SUPERSIM_WEBHOOK_SECRET');
  });
});

it.each<[string, object, number]>([
  ['a URL to forward to that is none', { forwardTo: 'localhost:3000' }, 2],
  ['a public URL that is none', { publicUrl: 'hooks.example' }, 2],
  ['an address that is none', { address: 'localhost' }, 2],
  ['an address that is not this machine’s', { address: '192.0.2.1' }, 2],
])('supersim listen refuses %s', async (_, args, exit) => {
  expect(await startListen(args, { SUPERSIM_WEBHOOK_SECRET: 'secret' }).code).toBe(exit);
});

it('supersim listen exits with 1 when another process has the port', async () => {
  const taken = new URL(await serve((_, response) => response.end()));
  const { code, stderr } = startListen({ port: z.coerce.number().parse(taken.port) }, { SUPERSIM_WEBHOOK_SECRET: 's' });
  expect(await code).toBe(1);
  expect(stderr.text).toMatch(/^error port-in-use/);
});

it('supersim listen listens on the given address', async () => {
  const address = randomAddress();
  const { ready, url } = startListen({ address }, { SUPERSIM_WEBHOOK_SECRET: 'secret' });
  await ready();
  expect(new URL(url()).hostname).toBe(address);
});
