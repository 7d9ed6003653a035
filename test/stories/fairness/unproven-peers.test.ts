import { encode } from 'cborg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PROOF_MS } from '../../../agent/command/peers/proofs.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { type Block, findBlock } from '../../../shared/coap/block.js';
import { emptyMessage, formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { findOption, OPTION } from '../../../shared/coap/options.js';
import { numberOption, type RequestSetup, requestBytes, summary } from '../../support/coap.js';
import { deferred } from '../../support/deferred.js';
import { recordingLog } from '../../support/log.js';
import { type PipelineSetup, startPipeline } from '../../support/pipeline.js';

const DIRECT = { address: '192.168.1.5', port: 40_000 };
const LONG = Buffer.from('The log of this device, line after line. '.repeat(200));
/** Longer than any time of RFC 7252. */
const FOR_EVER = 1_000_000;
const GET = '0.01';
const SLOW = { path: 'slow', token: '12345678' };

/** An agent that a direct peer may command, with a command that answers at length, and one that takes its time. */
function start(setup: PipelineSetup = {}) {
  const release = deferred<Buffer | string>();
  const taken = vi.fn(() => LONG);
  const started = startPipeline({
    config: {
      allow: ['192.168.0.0/16', '100.64.0.0/10'],
      listen: { ports: [6969, { port: 7001, format: 'raw', handler: 'log.read' }] },
    },
    handlers: [
      defineHandler({ name: 'log.read', description: 'Gives the log', safe: true, run: () => LONG.toString() }),
      defineHandler({ name: 'log.take', description: 'Gives the log, and empties it', run: taken }),
      defineHandler({ name: 'slow', description: 'Takes its time', run: () => release.promise }),
      defineHandler({
        name: 'fail',
        description: 'Fails at length',
        safe: true,
        run: () => {
          throw new Error(LONG.toString());
        },
      }),
    ],
    ...setup,
  });
  const ask = (request: RequestSetup) =>
    started.answers(requestBytes(request), DIRECT).map((bytes) => parseMessage(bytes));
  return { ...started, ask, taken, release };
}

const sum = (answers: readonly Buffer[]) => answers.reduce((bytes, { length }) => bytes + length, 0);
const acknowledge = (id: number) => formatMessage(emptyMessage('ACK', id));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a peer that is not proven', () => {
  it.each([
    ['text', 'log.read'],
    ['text that fails', 'fail'],
    ['JSON', '{"id":1,"method":"log.read"}'],
    ['JSON that fails', '{"id":1,"method":"fail"}'],
    ['a batch in JSON', '[{"id":1,"method":"log.read"},{"id":2,"method":"fail"}]'],
    ['CBOR', encode({ id: 1, method: 'log.take' })],
    ['CoAP GET', requestBytes({ method: GET, path: 'log/read', token: '12345678' })],
    ['CoAP POST', requestBytes({ path: 'log/take', token: '12345678' })],
    ['CoAP POST, non-confirmable', requestBytes({ type: 'NON', path: 'log/take', token: '12345678' })],
    ['CoAP that fails', requestBytes({ path: 'fail', token: '12345678' })],
    ['CoAP discovery', requestBytes({ method: GET, path: '.well-known/core' })],
    ['a later block', requestBytes({ method: GET, path: 'log/read', block2: { number: 1, more: false, exponent: 6 } })],
  ])('is answered with at most 200 bytes, or three times its own: %s', async (_, request) => {
    const { answers, sent } = start();
    answers(request, DIRECT);
    await vi.advanceTimersByTimeAsync(FOR_EVER);
    const answered = sent.map(({ bytes }) => bytes);
    expect(answered.length).toBeGreaterThan(0);
    expect(sum(answered)).toBeLessThanOrEqual(Math.max(200, 3 * Buffer.from(request).length));
  });

  it('is told in text, JSON and CBOR that the reply is cut', () => {
    const { answers } = start();
    expect(String(answers('log.read', DIRECT)[0])).toMatch(/^ok The log .*\[cut, 8200 bytes\]$/);
    expect(JSON.parse(String(answers('{"id":1,"method":"log.read"}', DIRECT)[0]))).toMatchObject({
      result: { cut: true, bytes: LONG.length, head: expect.stringMatching(/^The log/) },
    });
  });

  it('gets more for a longer request', () => {
    const { answers } = start();
    expect(answers(`log.read${' '.repeat(400)}`, DIRECT)[0]).toHaveLength(3 * 408);
    expect(answers(`log.read${' '.repeat(500)}`, DIRECT)[0]).toHaveLength(1300);
  });

  it('gets nothing on a raw port where the reply does not fit, and the command has failed', () => {
    const { answers, counters } = start();
    expect(answers('x', DIRECT, 7001)).toEqual([]);
    expect(counters.outcomes).toMatchObject({ failed: 1 });
  });

  it.each([
    ['a short reply', 'done', 'ACK 2.04 #1 "12345678" done'],
    ['a long reply', LONG, `ACK 2.04 #1 "12345678" ${LONG.toString().slice(0, 128)}`],
  ])('gets the response to a slow confirmable request piggybacked, once: %s', async (_, result, response) => {
    const { receive, sent, release } = start();
    receive(requestBytes(SLOW), DIRECT);
    await vi.advanceTimersByTimeAsync(20_000);
    release.resolve(result);
    await vi.advanceTimersByTimeAsync(FOR_EVER);
    expect(sent.map(({ bytes }) => summary(bytes))).toEqual([response]);
    expect(sum(sent.map(({ bytes }) => bytes))).toBeLessThanOrEqual(200);
  });

  it.each([
    ['a short reply', 'done', 5],
    ['a longer one', 'x'.repeat(80), 2],
    ['a long one', LONG, 1],
  ])('that never acknowledges causes no more by the last copy of a request either: %s', async (_, result, times) => {
    const { receive, sent, release, counters } = start();
    receive(requestBytes(SLOW), DIRECT);
    await vi.advanceTimersByTimeAsync(29_000);
    receive(requestBytes(SLOW), DIRECT);
    release.resolve(result);
    await vi.advanceTimersByTimeAsync(FOR_EVER);
    const [ack = Buffer.alloc(0), ...responses] = sent.map(({ bytes }) => bytes);
    expect(summary(ack)).toBe('ACK 0.00 #1');
    expect(responses).toHaveLength(times);
    expect(new Set(responses.map((bytes) => parseMessage(bytes).type))).toEqual(new Set(['CON']));
    expect(sum([ack, ...responses])).toBeLessThanOrEqual(200);
    expect(counters.heldBack.size).toBe(5 - times);
  });

  it('has what is held back counted and logged', async () => {
    const { log, withMessage } = recordingLog();
    const { receive, release, counters } = start({ log });
    receive(requestBytes(SLOW), DIRECT);
    await vi.advanceTimersByTimeAsync(29_000);
    receive(requestBytes(SLOW), DIRECT);
    release.resolve(LONG);
    await vi.advanceTimersByTimeAsync(FOR_EVER);
    expect(counters.heldBack).toEqual({ size: 4, 'peer-rate': 0, 'from-sim-rate': 0 });
    expect(withMessage('reply held back: too long for a peer that has not proved its address')).not.toEqual([]);
  });
});

let nextMessageId = 1000;

/** Fetches a response block by block, as a client of RFC 7959 does; returns the body and the size of each block. */
function fetch(ask: ReturnType<typeof start>['ask'], setup: RequestSetup, echoes: boolean) {
  const parts: Buffer[] = [];
  let echo: Buffer | undefined;
  let block2: Block | undefined;
  for (;;) {
    const messageId = nextMessageId++;
    const options = echoes && echo !== undefined ? [{ number: OPTION.echo, value: echo }] : [];
    const [response] = ask({ ...setup, messageId, options, ...(block2 && { block2 }) });
    if (response === undefined) throw new Error('no response');
    parts.push(response.payload);
    echo = findOption(response.options, OPTION.echo);
    const block = findBlock(response.options, OPTION.block2);
    if (block === undefined || block === 'reserved' || !block.more) break;
    block2 = { ...block, number: block.number + 1, more: false };
  }
  return { body: Buffer.concat(parts), sizes: parts.map(({ length }) => length) };
}

describe('a client of RFC 7959', () => {
  it.each([
    ['GET', { method: GET, path: 'log/read' }],
    ['POST', { path: 'log/take' }],
  ])('gets a long response whole in small blocks, without Echo: %s', (method, setup) => {
    const { ask, taken } = start();
    const { body, sizes } = fetch(ask, setup, false);
    expect(body).toEqual(LONG);
    expect(sizes[0]).toBe(128);
    expect(taken).toHaveBeenCalledTimes(method === 'GET' ? 0 : 1);
  });

  it('gets large blocks when it has returned Echo, from any port and in any format, for an hour', () => {
    const { ask, answers } = start();
    expect(fetch(ask, { method: GET, path: 'log/read' }, true).body).toEqual(LONG);
    expect(fetch(ask, { method: GET, path: 'log/read' }, true).sizes[0]).toBe(1024);
    expect(answers('log.read', { ...DIRECT, port: 40_001 })[0]).toHaveLength(1300);
    vi.advanceTimersByTime(PROOF_MS);
    expect(answers('log.read', DIRECT)[0]).toHaveLength(200);
  });

  it('gets the rest of a slow response when it has acknowledged the first block, and is proven by that', async () => {
    const { ask, receive, sent, release } = start();
    receive(requestBytes(SLOW), DIRECT);
    await vi.advanceTimersByTimeAsync(29_000);
    receive(requestBytes(SLOW), DIRECT);
    release.resolve(LONG);
    await vi.advanceTimersByTimeAsync(0);
    const first = parseMessage(sent.at(-1)?.bytes ?? Buffer.alloc(0));
    expect(findBlock(first.options, OPTION.block2)).toEqual({ number: 0, more: true, exponent: 3 });
    // RFC 9175 §2.4: never in a separate response.
    expect(findOption(first.options, OPTION.echo)).toBeUndefined();
    receive(acknowledge(first.messageId), DIRECT);
    const [next] = ask({ path: 'slow', messageId: 9, block2: { number: 1, more: false, exponent: 3 } });
    expect(next?.payload).toEqual(LONG.subarray(128, 256));
    expect(fetch(ask, { method: GET, path: 'log/read' }, false).sizes[0]).toBe(1024);
  });
});

describe('a reply that was kept when the peer was proven', () => {
  /** Asks as a proven peer, and again when the proof has expired. */
  function repeated(request: Buffer | string, between: (started: ReturnType<typeof start>) => void = () => undefined) {
    const started = start();
    fetch(started.ask, { method: GET, path: 'log/read' }, true);
    vi.advanceTimersByTime(PROOF_MS - 1000);
    const [before = Buffer.alloc(0)] = started.answers(request, DIRECT);
    between(started);
    vi.advanceTimersByTime(1000);
    const [again = Buffer.alloc(0)] = started.answers(request, DIRECT);
    expect(before.length).toBeGreaterThan(1000);
    expect(again.length).toBeLessThanOrEqual(200);
    expect(started.taken).toHaveBeenCalledTimes(1);
    return { ...started, again };
  }

  it('is cut in text', () => {
    expect(String(repeated('#1 log.take').again)).toMatch(/^#1 repeat ok The log .*\[cut, \d+ bytes\]$/);
  });

  it('goes in smaller blocks in CoAP', () => {
    const { again, ask } = repeated(requestBytes({ path: 'log/take', token: 'a', messageId: 7 }));
    const { code, payload, options } = parseMessage(again);
    expect([code, numberOption({ options }, OPTION.size2)]).toEqual(['2.04', LONG.length]);
    const [next] = ask({ path: 'log/take', messageId: 8, block2: { number: 1, more: false, exponent: 3 } });
    expect(Buffer.concat([payload, next?.payload ?? Buffer.alloc(0)])).toEqual(LONG.subarray(0, 256));
  });

  it('is told to be forgotten in CoAP where its blocks are no longer kept', () => {
    const { again } = repeated(requestBytes({ path: 'log/take', token: 'a', messageId: 7 }), ({ ask }) => {
      for (let tag = 0; tag < 64; tag++)
        ask({ method: GET, path: 'log/read', requestTag: String(tag), messageId: tag });
    });
    const { code, payload, options } = parseMessage(again);
    expect([code, payload.length, findOption(options, OPTION.forgotten)?.length]).toEqual(['2.04', 0, 0]);
  });
});

describe('no limit', () => {
  it.each([
    ['the gateway', { address: '100.64.0.1', port: 6969 }],
    ['a peer on this host', { address: '127.0.0.1', port: 40_000 }],
  ])('is there for %s', (_, source) => {
    const { answers } = start({ config: { allow: ['100.64.0.0/10', '127.0.0.0/8'] } });
    expect(answers('log.read', source)[0]).toHaveLength(1300);
    const [block = Buffer.alloc(0)] = answers(requestBytes({ method: GET, path: 'log/read' }), source);
    expect(parseMessage(block).payload).toHaveLength(1024);
    expect(findOption(parseMessage(block).options, OPTION.echo)).toBeUndefined();
  });
});

describe('too many datagrams', () => {
  it('from one direct address are not answered all, and the others are', () => {
    const { answers, counters } = start();
    let answered = 0;
    for (let index = 0; index < 2000; index++) answered += answers('ping', { ...DIRECT, port: index }).length;
    expect(answered).toBe(1000);
    expect(counters.heldBack).toEqual({ size: 0, 'peer-rate': 1000, 'from-sim-rate': 0 });
    expect(answers('ping', { address: '192.168.1.6', port: 1 })).toHaveLength(1);
    expect(answers('ping')).toHaveLength(1);
  });

  it('from the gateway are not answered all either, as each answer is billed', () => {
    const { answers, counters } = start({ config: { limits: { fromSimPerHour: 40 } } });
    let answered = 0;
    for (let index = 0; index < 100; index++) answered += answers('ping').length;
    expect(answered).toBe(30);
    expect(counters.heldBack['from-sim-rate']).toBe(70);
    // The rest is for others.
    expect(answers('ping', { address: '100.64.0.2', port: 6969 })).toHaveLength(1);
  });
});
