import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Hono } from 'hono';
import twilio from 'twilio';
import { describe, expect, it, onTestFinished, test } from 'vitest';
import { type Callback, createWebhookReceiver, openSecurity, webhookListener } from '../../../sender/index.js';
import { MAX_CALLBACK_BYTES } from '../../../sender/webhooks/incoming.js';
import { MAX_WAITING, type WebhookReceiverOptions } from '../../../sender/webhooks/receiver.js';
import { SupersimError } from '../../../shared/errors.js';
import { device, inbox } from '../../loopback/support.js';
import { protectEvent } from '../../support/events.js';
import { makeOperatorKeys } from '../../support/operator-keys.js';
import { startTestLoopback } from '../../support/round-trip.js';

const URL_OF_HOOK = 'https://hooks.example/supersim';
const SID = `HG${'a'.repeat(32)}`;
const FORM = {
  Sid: SID,
  SimSid: `HS${'b'.repeat(32)}`,
  SimUniqueName: 'gateway-1',
  Status: 'received',
  Direction: 'from_sim',
  DevicePort: '6969',
  PayloadType: 'binary',
  Payload: Buffer.from('ok pong').toString('base64'),
};

type Options = Partial<WebhookReceiverOptions>;

function makeReceiver(options: Options = {}) {
  const callbacks = inbox<Callback>('callbacks');
  const receiver = createWebhookReceiver({ koreSecret: 'secret', onCallback: callbacks.push, ...options });
  return { ...receiver, callbacks };
}

interface Sent {
  readonly form?: Record<string, string>;
  readonly url?: string;
  readonly signature?: string;
  readonly token?: string;
}

const koreSign = (body: string, url = URL_OF_HOOK, method = 'POST') =>
  createHash('sha256').update(`secret${method}${url}${body}`).digest('hex');

function koreRequest({ form = FORM, url = URL_OF_HOOK, token, ...given }: Sent = {}): Request {
  const body = new URLSearchParams(form).toString();
  const headers = new Headers({
    'content-type': 'application/x-www-form-urlencoded',
    'kore-signature': given.signature ?? koreSign(body),
  });
  if (token !== undefined) headers.set('kore-idempotency-token', token);
  return new Request(url, { method: 'POST', headers, body });
}

function twilioRequest(token: string, url = URL_OF_HOOK, form: Record<string, string> = FORM): Request {
  const headers = { 'x-twilio-signature': twilio.getExpectedTwilioSignature(token, url, form) };
  return new Request(url, { method: 'POST', headers, body: new URLSearchParams(form) });
}

const koreSigned = (url: string, form: Record<string, string>): Record<string, string> => ({
  'kore-signature': koreSign(new URLSearchParams(form).toString(), url),
});

const twilioSigned = (url: string, form: Record<string, string>): Record<string, string> => ({
  'x-twilio-signature': twilio.getExpectedTwilioSignature('secret', url, form),
});

const HEARD = {
  sid: SID,
  direction: 'from_sim',
  status: 'received',
  payload: Buffer.from('ok pong'),
  devicePort: 6969,
};

describe('the webhook receiver', () => {
  it('answers a callback of KORE at once, and handles it afterwards', async () => {
    const { receive, callbacks, counters } = makeReceiver();
    expect((await receive(koreRequest())).status).toBe(204);
    expect(callbacks.items).toEqual([]);
    expect(await callbacks.take()).toMatchObject(HEARD);
    expect(counters).toMatchObject({ accepted: 1, repeats: 0 });
  });

  it('accepts a callback of Twilio where its token is known', async () => {
    const { receive, callbacks } = makeReceiver({ twilioAuthToken: 'token' });
    expect((await receive(twilioRequest('token'))).status).toBe(204);
    expect(await callbacks.take()).toMatchObject(HEARD);
    expect((await receive(twilioRequest('other'))).status).toBe(403);
  });

  it('accepts Twilio’s callbacks by GET, and refuses KORE’s, whose signature does not cover them', async () => {
    const { receive, callbacks } = makeReceiver({ twilioAuthToken: 'token' });
    const url = `${URL_OF_HOOK}?Payload=cG9uZw%3D%3D&SimUniqueName=gateway-1`;
    const signature = twilio.getExpectedTwilioSignature('token', url, {});
    expect((await receive(new Request(url, { headers: { 'x-twilio-signature': signature } }))).status).toBe(204);
    expect(await callbacks.take()).toMatchObject({ direction: 'from_sim', simUniqueName: 'gateway-1' });
    const refused = await receive(
      new Request(url, { headers: { 'kore-signature': koreSign('', URL_OF_HOOK, 'GET') } }),
    );
    expect(refused.status).toBe(405);
    expect(await refused.text()).toMatch(/set the method .* to POST/);
  });

  it('reads a callback in signed JSON', async () => {
    const { receive, callbacks } = makeReceiver({ twilioAuthToken: 'token' });
    const body = JSON.stringify(FORM);
    const url = `${URL_OF_HOOK}?bodySHA256=${twilio.getExpectedBodyHash(body)}`;
    const headers = {
      'content-type': 'application/json',
      'x-twilio-signature': twilio.getExpectedTwilioSignature('token', url, {}),
    };
    expect((await receive(new Request(url, { method: 'POST', headers, body }))).status).toBe(204);
    expect(await callbacks.take()).toMatchObject(HEARD);
  });

  it.each([
    ['without a signature', new Request(URL_OF_HOOK, { method: 'POST', body: new URLSearchParams(FORM) }), 'unsigned'],
    ['with an empty one', koreRequest({ signature: '' }), 'unsigned'],
    ['with another', koreRequest({ signature: koreSign('Payload=x') }), 'wrongSignature'],
    ['to another URL', koreRequest({ url: `${URL_OF_HOOK}/other` }), 'wrongSignature'],
    ['of Twilio, where only KORE’s secret is known', twilioRequest('token'), 'unsigned'],
  ] as const)('%s is refused, counted, and not handed on', async (_, request, counter) => {
    const { receive, callbacks, counters } = makeReceiver();
    expect((await receive(request.clone())).status).toBe(403);
    expect(counters).toMatchObject({ [counter]: 1, accepted: 0 });
    expect(callbacks.items).toEqual([]);
  });

  it('accepts a callback without a signature where that is allowed', async () => {
    const { receive, callbacks } = makeReceiver({ koreSecret: undefined, allowUnsigned: true });
    await receive(new Request(URL_OF_HOOK, { method: 'POST', body: new URLSearchParams(FORM) }));
    expect(await callbacks.take()).toMatchObject(HEARD);
  });

  it('checks signatures with the public URL behind a proxy', async () => {
    const inside = 'http://127.0.0.1:3000/supersim';
    for (const publicUrl of [URL_OF_HOOK, 'https://hooks.example', 'https://hooks.example/']) {
      const { receive } = makeReceiver({ publicUrl });
      expect((await receive(koreRequest({ url: inside }))).status).toBe(204);
    }
    expect((await makeReceiver().receive(koreRequest({ url: inside }))).status).toBe(403);
  });

  it('answers a repeated callback with 2xx, and drops it', async () => {
    const { receive, counters } = makeReceiver();
    const other = { ...FORM, Sid: `HG${'c'.repeat(32)}` };
    const all = [
      koreRequest({ token: 'one' }),
      koreRequest({ token: 'one' }),
      // A replay under another token, which no signature covers.
      koreRequest({ token: 'two' }),
      koreRequest({ form: other, signature: koreSign(new URLSearchParams(other).toString()), token: 'three' }),
    ];
    for (const request of all) expect((await receive(request)).status).toBe(204);
    expect(counters).toMatchObject({ accepted: 2, repeats: 2 });
  });

  it.each([
    ['another resource', { CommandSid: `HC${'a'.repeat(32)}` }],
    ['a payload that is no Base64', { ...FORM, Payload: '***' }],
    ['a status that there is not', { ...FORM, Status: 'delivered' }],
    ['nothing', {}],
  ])('refuses and counts a callback of %s', async (_, form) => {
    const { receive, counters } = makeReceiver();
    const signature = koreSign(new URLSearchParams(form).toString());
    expect((await receive(koreRequest({ form, signature }))).status).toBe(400);
    expect(counters.malformed).toBe(1);
  });

  describe.each([
    ['KORE', koreSigned],
    ['Twilio', twilioSigned],
  ] as const)('of %s that', (_, sign) => {
    const both = { koreSecret: 'secret', twilioAuthToken: 'secret' };
    const send = (
      url: string,
      form: Record<string, string>,
      headers: Record<string, string>,
      options: Options = {},
    ) => {
      const { receive, counters } = makeReceiver({ ...both, ...options });
      const request = new Request(url, { method: 'POST', headers, body: new URLSearchParams(form) });
      return receive(request).then(({ status }) => [status, counters.wrongSignature]);
    };

    it.each<[string, Record<string, string>]>([
      ['another payload', { ...FORM, Payload: 'ZXZpbA==' }],
      ['another SIM', { ...FORM, SimUniqueName: 'gateway-2' }],
      ['a parameter more', { ...FORM, ErrorCode: '83401' }],
      ['a parameter less', (({ DevicePort: _port, ...rest }) => rest)(FORM)],
      ['a parameter moved into another', { ...FORM, Status: 'receivedDevicePort6969', DevicePort: '' }],
    ])('has %s than was signed is refused', async (_what, tampered) => {
      const headers = sign(URL_OF_HOOK, FORM);
      expect(await send(URL_OF_HOOK, FORM, headers)).toEqual([204, 0]);
      expect(await send(URL_OF_HOOK, tampered, headers)).toEqual([403, 1]);
    });

    it.each(['https://hooks.example/other', 'https://elsewhere.example/supersim', 'http://hooks.example/supersim'])(
      'was signed for this URL and comes to %s is refused',
      async (url) => {
        expect(await send(url, FORM, sign(URL_OF_HOOK, FORM))).toEqual([403, 1]);
      },
    );

    it.each([
      ['http://127.0.0.1:3000/supersim', 'https://hooks.example', 'https://hooks.example/supersim'],
      ['http://127.0.0.1:3000/inside', 'https://hooks.example/supersim', 'https://hooks.example/supersim'],
      [
        'http://127.0.0.1:3000/inside?a=1',
        'https://hooks.example:8443/supersim',
        'https://hooks.example:8443/supersim?a=1',
      ],
      ['http://[::1]:3000/', 'https://hooks.example/', 'https://hooks.example/'],
    ])('comes to %s by a proxy is checked with the public URL %s', async (inside, publicUrl, outside) => {
      const [signed = ''] = outside.split(sign === koreSigned ? '?' : '#', 1);
      const headers = sign(signed, FORM);
      expect(await send(inside, FORM, headers, { publicUrl })).toEqual([204, 0]);
      expect(await send(inside, FORM, headers)).toEqual([403, 1]);
      // Who comes past the proxy with a signature for the inside has not signed what the vendor would.
      expect(await send(inside, FORM, sign(inside, FORM), { publicUrl })).toEqual([403, 1]);
    });

    it('is replayed is answered with 2xx, and dropped', async () => {
      const { receive, counters } = makeReceiver(both);
      const headers = sign(URL_OF_HOOK, FORM);
      for (const more of [{}, {}, { 'kore-idempotency-token': 'new' }]) {
        const request = new Request(URL_OF_HOOK, {
          method: 'POST',
          headers: { ...headers, ...more },
          body: new URLSearchParams(FORM),
        });
        expect((await receive(request)).status).toBe(204);
      }
      expect(counters).toMatchObject({ accepted: 1, repeats: 2 });
    });
  });

  it('refuses a body that is too long, and other methods', async () => {
    const { receive } = makeReceiver();
    const body = 'x'.repeat(MAX_CALLBACK_BYTES + 1);
    expect((await receive(new Request(URL_OF_HOOK, { method: 'POST', body }))).status).toBe(413);
    expect((await receive(new Request(URL_OF_HOOK, { method: 'PUT', body: '' }))).status).toBe(405);
  });

  it('refuses a callback as busy while too many wait, so that the vendor repeats it', async () => {
    let release = () => {};
    const stuck = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { receive, counters } = makeReceiver({ onCallback: () => stuck });
    const send = (number: number) => {
      const form = { ...FORM, Sid: `HG${number.toString(16).padStart(32, '0')}` };
      return receive(koreRequest({ form, signature: koreSign(new URLSearchParams(form).toString()) }));
    };
    for (let number = 0; number < MAX_WAITING; number++) expect((await send(number)).status).toBe(204);
    expect((await send(MAX_WAITING)).status).toBe(503);
    release();
    await expect.poll(async () => (await send(MAX_WAITING)).status).toBe(204);
    expect(counters.busy).toBeGreaterThanOrEqual(1);
  });

  it('reports an error of onCallback, and continues with the next', async () => {
    const errors: unknown[] = [];
    const done: string[] = [];
    const { receive, counters } = makeReceiver({
      onCallback: ({ status }) => {
        if (status === 'sent') throw new Error('no');
        done.push(status);
      },
      onError: (error) => errors.push(error),
    });
    const status = { Sid: SID, Status: 'sent', Direction: 'to_sim' };
    const waits: Promise<void>[] = [];
    const context = { waitUntil: (work: Promise<void>) => void waits.push(work) };
    await receive(koreRequest({ form: status, signature: koreSign(new URLSearchParams(status).toString()) }), context);
    await receive(koreRequest(), context);
    await Promise.all(waits);
    expect(errors).toEqual([new Error('no')]);
    expect(done).toEqual(['received']);
    expect(counters.failed).toBe(1);
  });
});

test.each([
  [
    'Payload and SimUniqueName alone',
    { Payload: 'cG9uZw==', SimUniqueName: 'a' },
    { direction: 'from_sim', sid: undefined },
  ],
  ['IpCommandSid', { ...FORM, Sid: '', IpCommandSid: SID }, { sid: SID }],
  ['CommandSid', { ...FORM, Sid: '', CommandSid: SID }, { sid: SID }],
  ['parameters that were added', { ...FORM, New: 'x' }, { sid: SID }],
  [
    'a status without direction',
    { Sid: SID, Status: 'failed', ErrorCode: '83401' },
    { direction: 'to_sim', errorCode: 83401 },
  ],
  ['text', { ...FORM, PayloadType: 'text', Payload: 'pöng' }, { payload: Buffer.from('pöng') }],
])('parseCallback reads a callback with %s', async (_, form, expected) => {
  const { receive, callbacks } = makeReceiver();
  const body = new URLSearchParams(form).toString();
  expect((await receive(koreRequest({ form, signature: koreSign(body) }))).status).toBe(204);
  expect(await callbacks.take()).toMatchObject(expected);
});

test.each([[{}], [{ koreSecret: '' }], [{ koreSecret: 'a', publicUrl: 'hooks.example' }]])(
  'the options %j are refused',
  (options) => {
    expect(() => createWebhookReceiver({ onCallback: () => {}, ...options })).toThrow(
      expect.objectContaining({ code: 'bad-input' }),
    );
  },
);

describe('the webhook receiver with keys', () => {
  const SIMS = ['1', '2'].map((digit) => ({
    ...{ sid: `HS${digit.repeat(32)}`, uniqueName: `gateway-${digit}`, iccid: `898830700000000000${digit}` },
  }));
  const [SIM, OTHER_SIM] = SIMS;
  if (SIM === undefined || OTHER_SIM === undefined) throw new Error('there are two SIMs');

  const keys = () => {
    const operator = makeOperatorKeys(SIMS);
    const open = () => {
      const security = openSecurity({ env: operator.env });
      onTestFinished(() => security.close());
      return makeReceiver({ security });
    };
    return { ...operator, open, event: (number: number) => protectEvent(operator.keyOf(SIM), { number }) };
  };

  let webhooks = 0;
  /** A from_sim webhook as of the vendor, who gives each its own SID and token. */
  const webhook = (payload: Buffer, sim = SIM) => {
    const sid = `HG${(++webhooks).toString(16).padStart(32, '0')}`;
    const form = {
      ...FORM,
      Sid: sid,
      SimSid: sim.sid,
      SimUniqueName: sim.uniqueName,
      Payload: payload.toString('base64'),
    };
    const signature = koreSign(new URLSearchParams(form).toString());
    return koreRequest({ form, signature, token: `token ${webhooks}` });
  };

  it('hands on what a protected event says, beside its payload as it came', async () => {
    const { open, event, keyOf } = keys();
    const { receive, callbacks } = open();
    await receive(webhook(event(5)));
    const { payload, opened } = await callbacks.take();
    expect(payload).toEqual(event(5));
    expect(opened).toMatchObject({
      ...{ kind: 'event', authentic: true, fresh: 'unknown', deviceId: keyOf(SIM).deviceId },
      ...{ event: 'counted', data: 5 },
    });
    await receive(webhook(event(6)));
    expect((await callbacks.take()).opened).toMatchObject({ fresh: true, data: 6 });
  });

  it('drops an event whose payload is posted again under another SID and token, and counts it', async () => {
    const { open, event } = keys();
    const first = open();
    for (let copy = 0; copy < 3; copy++) expect((await first.receive(webhook(event(5)))).status).toBe(204);
    // Another process, and the same one after a restart.
    const second = open();
    expect((await second.receive(webhook(event(5)))).status).toBe(204);
    await Promise.all([first.settled(), second.settled()]);
    expect([first.callbacks.items.length, second.callbacks.items.length]).toEqual([1, 0]);
    expect(first.counters).toMatchObject({ accepted: 1, repeats: 0, replayed: 2 });
    expect(second.counters).toMatchObject({ accepted: 0, replayed: 1 });
  });

  it('does not take an event for that of another SIM, which costs the true one nothing', async () => {
    const { open, event } = keys();
    const { receive, callbacks } = open();
    await receive(webhook(event(5), OTHER_SIM));
    expect((await callbacks.take()).opened).toEqual({ kind: 'sealed', authentic: false, reason: 'bad-tag' });
    await receive(webhook(event(5)));
    expect((await callbacks.take()).opened).toMatchObject({ authentic: true });
  });

  it('marks what is not protected, and hands on each copy', async () => {
    const { open } = keys();
    const { receive, callbacks } = open();
    for (const hasKey of [true, true, false]) {
      const sim = hasKey ? SIM : { ...SIM, sid: `HS${'3'.repeat(32)}`, uniqueName: 'gateway-3' };
      await receive(webhook(Buffer.from('{"event":"door"}'), sim));
      expect((await callbacks.take()).opened).toEqual({ kind: 'unprotected', authentic: false, hasKey });
    }
  });

  it('says nothing about commands to a SIM', async () => {
    const { receive, callbacks } = keys().open();
    const form = { Sid: SID, SimSid: SIM.sid, Status: 'sent', Direction: 'to_sim', Payload: FORM.Payload };
    await receive(koreRequest({ form, signature: koreSign(new URLSearchParams(form).toString()) }));
    expect(await callbacks.take()).not.toHaveProperty('opened');
  });

  it('refuses an event while the keys cannot be used, so that the vendor repeats it', async () => {
    const { env, event } = keys();
    const errors: unknown[] = [];
    let isBroken = true;
    const security = openSecurity({ env });
    onTestFinished(() => security.close());
    const { receive, callbacks, counters } = makeReceiver({
      security: {
        openDatagram(...given) {
          if (isBroken) throw new SupersimError('keys-unusable', 'the disk is full');
          return security.openDatagram(...given);
        },
      },
      onError: (error) => errors.push(error),
    });
    const request = webhook(event(5));
    expect((await receive(request.clone())).status).toBe(503);
    expect(errors).toEqual([expect.objectContaining({ code: 'keys-unusable' })]);
    isBroken = false;
    expect((await receive(request)).status).toBe(204);
    expect((await callbacks.take()).opened).toMatchObject({ authentic: true });
    expect(counters).toMatchObject({ failed: 1, accepted: 1, repeats: 0 });
  });
});

describe.each(['kore', 'twilio'] as const)('with a loopback that sends as %s', (webhooks) => {
  test('both kinds of callbacks are received, by Node’s server and by Hono', async () => {
    const loopback = await startTestLoopback({ webhooks, sims: [{ name: 'gateway-1', address: '127.0.0.2' }] });
    const { callbacks, ...receiver } = makeReceiver({
      koreSecret: loopback.webhookSecret,
      twilioAuthToken: loopback.authToken,
    });
    const app = new Hono();
    app.all('/hook', ({ req }) => receiver.receive(req.raw));
    const server = createServer(webhookListener(receiver)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const bound = server.address();
    const url = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}/hook?tenant=it's&a=%20b`;

    const authorization = `Basic ${Buffer.from(`${loopback.accountSid}:${loopback.authToken}`).toString('base64')}`;
    const call = (path: string, form: Record<string, string>) =>
      fetch(`${loopback.url}${path}`, { method: 'POST', headers: { authorization }, body: new URLSearchParams(form) });
    await call('/v1/Fleets/fleet-1', { IpCommandsUrl: url });
    const { port, send } = await device();
    await call('/v1/IpCommands', { Sim: 'gateway-1', Payload: 'ping', DevicePort: `${port}`, CallbackUrl: url });
    expect(await callbacks.take()).toMatchObject({ direction: 'to_sim', status: 'sent' });
    await send(Buffer.from([0xff, 0]), loopback.gateway);
    expect(await callbacks.take()).toMatchObject({ direction: 'from_sim', payload: Buffer.from([0xff, 0]) });
    expect(receiver.counters).toMatchObject({ accepted: 2, wrongSignature: 0 });

    const unsigned = await app.request('/hook', { method: 'POST', body: new URLSearchParams(FORM) });
    expect(unsigned.status).toBe(403);
  });
});
