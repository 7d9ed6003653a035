import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, type CreateParams, createRequester, type ReplyListener } from '../../../sender/index.js';
import { emptyMessage, formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { SupersimError } from '../../../shared/errors.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import { ipCommand, rejection, vendorError } from '../support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

type Create = (params: CreateParams, count: number) => Promise<IpCommand>;

const taken: Create = async (_, count) => ipCommand(count);
const fromSim = (bytes: Uint8Array): IpCommand =>
  ipCommand(900, { direction: 'from_sim', payload_type: 'binary', payload: Buffer.from(bytes).toString('base64') });

/** A requester on an API and a source of replies that the test plays. */
function setUp(create: Create = taken, listen: () => Promise<void> = async () => {}) {
  const sent: CreateParams[] = [];
  const listeners = new Set<ReplyListener>();
  const client = {
    create: (params: CreateParams) => {
      sent.push(params);
      return create(params, sent.length);
    },
    async *pages() {},
  };
  const replies = {
    async listen(_: string, listener: ReplyListener) {
      await listen();
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const tell = (command: IpCommand, vendorCode?: number) => {
    for (const listener of listeners) listener.onCommand(command, vendorCode);
  };
  /** Answers the datagram that was sent last. */
  const answer = (code: string, payload = '', type: 'ACK' | 'NON' | 'CON' = 'ACK') => {
    const { messageId, token } = lastMessage();
    tell(fromSim(formatMessage({ type, code, messageId, token, options: [], payload: Buffer.from(payload) })));
  };
  const lastMessage = () => parseMessage(Buffer.from(sent.at(-1)?.payload ?? ''));
  return { request: createRequester({ client, replies }), sent, listeners, tell, answer, lastMessage };
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('request', () => {
  it('sends bytes to the device’s port, and ends with the result of the reply', async () => {
    const { request, sent, listeners, answer, tell, lastMessage } = setUp();
    const progress: unknown[] = [];
    const result = request('gateway-1', 'ping', undefined, {
      devicePort: 7000,
      onProgress: (step) => progress.push(step),
    });
    await pass(1000);
    expect(sent).toEqual([{ sim: 'gateway-1', devicePort: 7000, payload: expect.any(Uint8Array) }]);
    tell(fromSim(Buffer.from('{"event":"door"}')));
    tell(fromSim(formatMessage(emptyMessage('ACK', lastMessage().messageId))));
    await pass(1000);
    answer('2.04');
    expect(await result).toEqual({
      outcome: 'done',
      result: undefined,
      authentic: false,
      attempts: 1,
      apiCalls: 1,
      timings: { sent: 0, accepted: 1000, ended: 2000 },
    });
    expect(progress).toEqual([{ type: 'sent', attempt: 1 }, { type: 'accepted' }]);
    await pass(0);
    expect(listeners.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('repeats the same bytes, and ends as no-answer after five posts', async () => {
    const { request, sent, listeners } = setUp();
    const result = request('gateway-1', 'ping');
    await pass(1000);
    for (const listener of listeners) listener.onApiCall();
    for (const listener of listeners) listener.onError(new Error('HTTP 503'));
    await pass(300_000);
    expect(await result).toMatchObject({
      outcome: 'no-answer',
      error: { code: 'no-answer', message: expect.stringContaining('HTTP 503') },
      attempts: 5,
      apiCalls: 6,
      timings: { ended: 300_000 },
    });
    expect(new Set(sent.map(({ payload }) => Buffer.from(payload).toString('hex'))).size).toBe(1);
  });

  it('acknowledges a separate response', async () => {
    const { request, sent, answer } = setUp();
    const result = request('gateway-1', 'ping');
    await pass(0);
    answer('2.04', '', 'CON');
    expect(await result).toMatchObject({ outcome: 'done', apiCalls: 2 });
    expect(parseMessage(Buffer.from(sent[1]?.payload ?? ''))).toMatchObject({ type: 'ACK', code: '0.00' });
  });

  it('uses new tokens for each request', async () => {
    const { request, lastMessage } = setUp();
    const tokens = new Set<string>();
    for (let i = 0; i < 20; i++) {
      void request('gateway-1', 'ping');
      await pass(0);
      tokens.add(lastMessage().token.toString('hex'));
    }
    expect(tokens.size).toBe(20);
  });

  it.each<[string, unknown, object]>([
    [
      'refuses it',
      new ApiError(404, JSON.stringify(vendorError(404, 20_404))),
      { outcome: 'not-sent', error: { code: 'api-error', vendorCode: 20_404 } },
    ],
    [
      'is out of reach',
      new SupersimError('api-unreachable', 'x'),
      { outcome: 'not-sent', error: { code: 'api-unreachable' } },
    ],
    ['may have taken it', new SupersimError('api-unknown-fate', 'x'), { outcome: 'no-answer', attempts: 5 }],
    ['does what nobody expects', new TypeError('x'), { outcome: 'no-answer', attempts: 5 }],
  ])('resolves when the API %s', async (_, error, how) => {
    const { request } = setUp(() => Promise.reject(error));
    const result = request('gateway-1', 'ping');
    await pass(300_000);
    expect(await result).toMatchObject(how);
  });

  it.each([
    [undefined, 'not-delivered', undefined],
    [83_401, 'not-delivered', 83_401],
    [99_999, 'not-delivered', 99_999],
  ])('ends as not-sent when the network failed to send it, with code %s', async (vendorCode, code, told) => {
    const { request, tell } = setUp();
    const result = request('gateway-1', 'ping');
    await pass(0);
    tell(ipCommand(1, { status: 'sent' }), vendorCode);
    tell(ipCommand(1, { status: 'failed' }), vendorCode);
    const { outcome, error } = Object(await result);
    expect([outcome, error.code, error.vendorCode]).toEqual(['not-sent', code, told]);
  });

  it('ends as not-sent when the API answers with the status failed', async () => {
    const { request } = setUp(async () => ipCommand(1, { status: 'failed' }));
    expect(await request('gateway-1', 'ping')).toMatchObject({ outcome: 'not-sent', error: { code: 'not-delivered' } });
  });

  it.each<[string, Error, string]>([
    ['is refused', new ApiError(401, ''), 'api-error'],
    ['fails', new Error('x'), 'api-unreachable'],
  ])('sends nothing when subscribing %s', async (_, error, code) => {
    const { request, sent } = setUp(taken, () => Promise.reject(error));
    expect(await request('gateway-1', 'ping')).toMatchObject({ outcome: 'not-sent', attempts: 0, error: { code } });
    expect(sent).toEqual([]);
  });

  it('sends nothing after its deadline or when already aborted', async () => {
    const { request, sent } = setUp();
    const deadline = Math.floor(Date.now() / 1000);
    expect(await request('gateway-1', 'ping', undefined, { deadline })).toMatchObject({
      outcome: 'not-sent',
      error: { code: 'expired' },
    });
    const signal = AbortSignal.abort();
    expect(await request('gateway-1', 'ping', undefined, { signal })).toMatchObject({
      outcome: 'not-sent',
      error: { code: 'given-up' },
    });
    expect(sent).toEqual([]);
  });

  it('ends at once when aborted while subscribing, and unsubscribes', async () => {
    let ready = () => {};
    const { request, sent, listeners } = setUp(
      taken,
      () =>
        new Promise((resolve) => {
          ready = resolve;
        }),
    );
    const abort = new AbortController();
    const result = request('gateway-1', 'ping', undefined, { signal: abort.signal });
    await pass(10);
    abort.abort();
    expect(await result).toMatchObject({ outcome: 'not-sent', error: { code: 'given-up' } });
    ready();
    await pass(0);
    expect([sent.length, listeners.size, vi.getTimerCount()]).toEqual([0, 0, 0]);
  });

  it('ends as no-answer when aborted after the post', async () => {
    const { request } = setUp();
    const abort = new AbortController();
    const result = request('gateway-1', 'ping', undefined, { signal: abort.signal });
    await pass(10);
    abort.abort();
    expect(await result).toMatchObject({ outcome: 'no-answer', attempts: 1, error: { code: 'given-up' } });
  });

  it.each<[string, string, string, object]>([
    ['no SIM', '', 'ping', {}],
    ['no name', 'gateway-1', '', {}],
    ['a name that is none', 'gateway-1', 'a b', {}],
    ['a port that is none', 'gateway-1', 'ping', { devicePort: 0 }],
    ['an unknown format', 'gateway-1', 'ping', { format: 'xml' }],
    ['GET in JSON', 'gateway-1', 'ping', { format: 'json', get: true }],
    ['a deadline in text', 'gateway-1', 'ping', { format: 'text', deadline: 4_000_000_000 }],
    ['a time-out without unit', 'gateway-1', 'ping', { timeout: '5' }],
  ])('throws for %s', async (_, sim, name, options) => {
    expect(await rejection(setUp().request(sim, name, undefined, options))).toMatchObject({ code: 'bad-input' });
  });
});
