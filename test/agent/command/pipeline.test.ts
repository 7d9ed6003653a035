import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import type { Log } from '../../../agent/base/log.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { SupersimError } from '../../../shared/errors.js';
import { recordingLog } from '../../support/log.js';
import { FROM_CARRIER, startPipeline } from '../../support/pipeline.js';

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const NEIGHBOUR = { address: '192.168.1.5', port: 40_000 };

const returns = (name: string, result: unknown) => defineHandler({ name, description: '', run: () => result });
const texts = (replies: readonly Buffer[]) => replies.map(String);

describe('a command', () => {
  it('is answered in its own format, under its id', () => {
    const { answers } = startPipeline();
    expect(texts(answers('ping'))).toEqual(['ok pong']);
    expect(texts(answers('#7 ping'))).toEqual(['#7 ok pong']);
    expect(JSON.parse(String(answers('{"id":"a","method":"ping"}')))).toEqual({
      jsonrpc: '2.0',
      id: 'a',
      result: 'pong',
    });
    const [cbor = Buffer.alloc(0)] = answers(encode({ id: 9, method: 'ping' }));
    expect(decode(cbor)).toEqual({ jsonrpc: '2.0', id: 9, result: 'pong' });
  });

  it('keeps every byte value on its way, there and back', () => {
    const { answers } = startPipeline({
      config: { listen: { ports: [6969, { port: 7000, format: 'raw', handler: 'same' }] } },
      handlers: [returns('bytes', ALL_BYTES), defineHandler({ name: 'same', description: '', run: (bytes) => bytes })],
    });
    expect(answers('#1 bytes')).toEqual([Buffer.concat([Buffer.from('#1 ok '), ALL_BYTES])]);
    expect(JSON.parse(String(answers('{"id":1,"method":"bytes"}')))).toMatchObject({
      result: { base64: ALL_BYTES.toString('base64') },
    });
    const [cbor = Buffer.alloc(0)] = answers(encode({ id: 1, method: 'echo', params: { all: ALL_BYTES } }));
    expect(decode(cbor)).toMatchObject({ result: { all: new Uint8Array(ALL_BYTES) } });
    expect(answers(ALL_BYTES, FROM_CARRIER, 7000)).toEqual([ALL_BYTES]);
  });

  it('that nobody knows is refused, with no more of its name than a name may have', () => {
    const { answers, counters } = startPipeline();
    const [reply] = texts(answers('x'.repeat(1300)));
    expect(reply).toMatch(/^error unknown-command .{1,200}$/);
    expect(counters.outcomes).toEqual({ done: 0, failed: 0, refused: 1, interrupted: 0 });
  });

  it('called __proto__ or constructor is as unknown as any', () => {
    const { answers } = startPipeline();
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(texts(answers(name))).toEqual([expect.stringMatching(/^error unknown-command /)]);
      expect(JSON.parse(String(answers(JSON.stringify({ id: 1, method: name }))))).toMatchObject({
        error: { code: -32601 },
      });
    }
  });

  it('on a raw port without its handler is not answered', () => {
    const { answers, counters } = startPipeline({
      config: { listen: { ports: [{ port: 7000, format: 'raw', handler: 'absent' }] } },
    });
    expect(answers('anything')).toEqual([]);
    expect(counters.outcomes.refused).toBe(1);
  });

  it('whose handler takes its time is answered when that is done', async () => {
    const { reply } = startPipeline({
      handlers: [defineHandler({ name: 'slow', description: '', run: async () => 'at last' })],
    });
    expect(String(await reply('#1 slow'))).toBe('#1 ok at last');
  });
});

describe('a reply', () => {
  it('goes to the gateway, from the device port, when the command came from the carrier', () => {
    const { receive, sent } = startPipeline({ config: { listen: { ports: [6969, 7000] } } });
    receive('ping', { address: '100.99.1.2', port: 31_337 }, 7000);
    expect(sent).toEqual([
      { bytes: Buffer.from('ok pong'), destination: { address: '100.64.0.1', port: 6969 }, port: 7000, via: 'fake' },
    ]);
  });

  it('goes to where the command came from when that is elsewhere', () => {
    const { receive, sent } = startPipeline({ config: { allow: ['192.168.0.0/16'] } });
    receive('ping', NEIGHBOUR);
    expect(sent.map(({ destination }) => destination)).toEqual([NEIGHBOUR]);
  });

  it('goes where the configuration says', () => {
    for (const [to, destination] of [
      ['gateway', { address: '100.64.0.1', port: 6969 }],
      ['source', NEIGHBOUR],
    ] as const) {
      const { receive, sent } = startPipeline({ config: { allow: ['192.168.0.0/16'], reply: { to } } });
      receive('ping', NEIGHBOUR);
      expect(sent.map((one) => one.destination)).toEqual([destination]);
    }
    const { receive, sent } = startPipeline({ config: { reply: { to: 'source' } } });
    receive('ping', { address: '100.99.1.2', port: 31_337 });
    expect(sent[0]?.destination).toEqual({ address: '100.99.1.2', port: 31_337 });
  });

  it('that cannot leave is counted and logged', () => {
    const { log, withMessage } = recordingLog();
    const sendError = () => new SupersimError('link-down', 'no route');
    const { receive, counters } = startPipeline({ log, sendError });
    receive('ping');
    receive('ping');
    expect(counters).toMatchObject({ sent: 0, sentBytes: 0, unsent: 2, outcomes: { done: 2 } });
    expect(withMessage('datagram lost')).toHaveLength(1);
  });
});

describe('what a handler returns that cannot be written', () => {
  const { answers } = startPipeline({
    handlers: [
      returns('function', () => 1),
      returns('symbol', Symbol('x')),
      returns('big', [2n ** 60n]),
      returns('huge.big', [2n ** 60n, 'x'.repeat(1280)]),
      returns('bad', { a: () => 1 }),
      returns('number', 5),
      returns('long', 'x'.repeat(1301)),
    ],
    config: {
      listen: {
        ports: [6969, { port: 7001, format: 'raw', handler: 'number' }, { port: 7002, format: 'raw', handler: 'long' }],
      },
    },
  });

  it.each(['function', 'symbol', 'bad'])('makes the command fail in every format: a %s', (method) => {
    expect(texts(answers(`#1 ${method}`))).toEqual([expect.stringMatching(/^#1 error bad-reply /)]);
    expect(JSON.parse(String(answers(JSON.stringify({ id: 1, method }))))).toMatchObject({
      id: 1,
      error: { code: -32003 },
    });
    const [cbor = Buffer.alloc(0)] = answers(encode({ id: 1, method }));
    expect(decode(cbor)).toMatchObject({ id: 1, error: { code: -32003 } });
  });

  it('fails alone in a batch', () => {
    const batch = ['ping', 'bad', 'ping'].map((method, id) => ({ id, method }));
    expect(JSON.parse(String(answers(JSON.stringify(batch))))).toMatchObject([
      { id: 0, result: 'pong' },
      { id: 1, error: { code: -32003 } },
      { id: 2, result: 'pong' },
    ]);
  });

  it('crashes nothing when it can be written whole, but not be cut', () => {
    const params = [Buffer.alloc(1240, 'x')];
    const batch = encode([
      { id: 1, method: 'echo', params },
      { id: 2, method: 'big' },
    ]);
    expect(batch.length).toBeLessThanOrEqual(1300);
    const [reply = Buffer.alloc(0)] = answers(batch);
    expect(decode(reply)).toMatchObject([
      { id: 1, error: { code: -32003 } },
      { id: 2, error: { code: -32003 } },
    ]);
    const [alone = Buffer.alloc(0)] = answers(encode({ id: 1, method: 'big' }));
    expect(decode(alone)).toMatchObject({ id: 1, result: [2n ** 60n] });
    const [long = Buffer.alloc(0)] = answers(encode({ id: 1, method: 'huge.big' }));
    expect(decode(long)).toMatchObject({ id: 1, error: { code: -32003 } });
  });

  it('sends nothing from a raw port', () => {
    expect(answers('x', FROM_CARRIER, 7001)).toEqual([]);
    expect(answers('x', FROM_CARRIER, 7002)).toEqual([]);
    expect(texts(answers('ping'))).toEqual(['ok pong']);
  });
});

describe('answers of other agents', () => {
  it('are counted, never answered, whatever format they are in', () => {
    const { answers, counters } = startPipeline();
    const strays = [
      'ok',
      '#7 ok pong',
      `error parse-error a ' is not closed`,
      '{"jsonrpc":"2.0","id":1,"result":"pong"}',
      '[{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}]',
      encode({ jsonrpc: '2.0', id: 1, result: 'pong' }),
    ];
    for (const stray of strays) expect(answers(stray), String(stray)).toEqual([]);
    expect(counters.strayReplies).toBe(strays.length);
    expect(counters.outcomes).toEqual({ done: 0, failed: 0, refused: 0, interrupted: 0 });
  });
});

describe('the log', () => {
  it('has one line for each command, with its peer and its outcome, and no payload', () => {
    const { log, lines } = recordingLog();
    const { receive } = startPipeline({ log: { ...log, isLevelEnabled: () => false } });
    receive('#7 ping');
    receive(JSON.stringify([{ id: 1, method: 'ping' }, { method: 'nothing' }]));
    expect(lines.map(({ details }) => [details['id'], details['name'], details['format'], details['outcome']])).toEqual(
      [
        ['7', 'ping', 'text', 'done'],
        [1, 'ping', 'json', 'done'],
        [undefined, 'nothing', 'json', 'refused'],
      ],
    );
    expect(lines.every(({ level, details }) => level === 'info' && details['peer'] === 'gateway')).toBe(true);
  });

  it('has payloads only at the level trace', () => {
    const { log, withMessage } = recordingLog();
    const { receive } = startPipeline({ log });
    receive('ping');
    expect(withMessage('datagram in')[0]?.details['hex']).toBe(Buffer.from('ping').toString('hex'));
    expect(withMessage('datagram out')[0]?.details['hex']).toBe(Buffer.from('ok pong').toString('hex'));
  });

  it('names a peer outside the carrier’s range by address and port', () => {
    const { log, withMessage } = recordingLog();
    const { receive } = startPipeline({ log, config: { allow: ['192.168.0.0/16', 'fe80::/10'] } });
    receive('ping', NEIGHBOUR);
    receive('ping', { address: 'fe80::1%eth0', port: 5 });
    expect(withMessage('command').map(({ details }) => details['peer'])).toEqual([
      '192.168.1.5:40000',
      '[fe80::1%eth0]:5',
    ]);
  });

  it('recommends a range that the configuration takes, once a minute for each cause', () => {
    const { log, withMessage } = recordingLog();
    const { receive } = startPipeline({ log });
    receive('ping', { address: 'fe80::1%eth0', port: 5 });
    receive('ping', NEIGHBOUR);
    receive('', FROM_CARRIER);
    receive(Buffer.alloc(1301), FROM_CARRIER);
    expect(withMessage('datagram refused').map(({ details }) => [details['cause'], details['admitBy']])).toEqual([
      ['source', 'allow: [fe80::1/128]'],
      ['empty', undefined],
      ['oversize', undefined],
    ]);
    expect(() => startPipeline({ config: { allow: ['fe80::1/128'] } })).not.toThrow();
  });
});

describe('in an overload', () => {
  /** Makes a pipeline that has noticed that the event loop has not waited for a while. */
  async function startOverloaded(transport: string, log?: Log) {
    const pipeline = startPipeline({ transport, idleMs: () => 0, ...(log && { log }) });
    pipeline.answers('ping');
    await new Promise((resolve) => setTimeout(resolve, 20));
    return pipeline;
  }

  it('what does not fit is counted, logged once with whose it is, and not answered', async () => {
    const { log, withMessage } = recordingLog();
    const { receive, counters, meters, recent, sent, pipeline } = await startOverloaded('udp', log);
    sent.length = 0;
    for (let count = 0; count < 20_000; count++) receive('ping', { address: '100.64.0.1', port: 1 + (count % 100) });
    expect(sent).toEqual([]);
    expect(counters.refusedOverload).toBeGreaterThan(3000);
    pipeline.drain();
    expect(sent.length + counters.refusedOverload).toBe(20_000);
    expect(meters.transports.udp.received.overload).toBe(counters.refusedOverload);
    expect(recent.refusedSources()).toMatchObject([{ cause: 'overload', address: '100.64.0.1' }]);
    expect(withMessage('datagram refused')).toMatchObject([
      { details: { cause: 'overload', source: expect.stringMatching(/^100\.64\.0\.1:/) } },
    ]);
    expect(withMessage('datagram refused')[0]?.details).not.toHaveProperty('admitBy');
  });

  it('what waits is answered', async () => {
    const { reply, counters } = await startOverloaded('udp');
    expect(String(await reply('#1 ping'))).toBe('#1 ok pong');
    expect(counters.refusedOverload).toBe(0);
  });

  it('what a modem has received waits for nothing', async () => {
    const { answers } = await startOverloaded('modem');
    expect(answers('#1 ping').map(String)).toEqual(['#1 ok pong']);
  });
});

describe('what is in no format', () => {
  it('is counted and not answered, CoAP that is not well-formed included', () => {
    const { answers, counters } = startPipeline();
    const malformed = [
      Buffer.from([0xff]),
      Buffer.from('ping\0'),
      Buffer.from('40010001b47069', 'hex'),
      Buffer.from('6000', 'hex'),
    ];
    for (const bytes of malformed) expect(answers(bytes)).toEqual([]);
    expect(counters.malformed).toBe(malformed.length);
  });
});
