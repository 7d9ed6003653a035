import { encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { defineHandler } from '../../agent/handlers/handler.js';
import { blockOption, blockSize, findBlock } from '../../shared/coap/block.js';
import { formatMessage, parseMessage } from '../../shared/coap/message.js';
import { OPTION } from '../../shared/coap/options.js';
import { requestMessage } from '../support/coap.js';
import { deferred } from '../support/deferred.js';
import { FROM_CARRIER, startPipeline } from '../support/pipeline.js';

const LONG = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
const long = defineHandler({ name: 'long', description: '', safe: true, run: () => 'é'.repeat(2000) });
const bytes = defineHandler({ name: 'bytes', description: '', safe: true, run: () => LONG });
const fitting = defineHandler({ name: 'fitting', description: '', run: () => 'x'.repeat(1010) });
const raw = defineHandler({ name: 'raw', description: '', run: () => Buffer.alloc(1025) });
const handlers = [long, bytes, fitting, raw];
const config = { listen: { ports: [6969, { port: 7001, format: 'raw' as const, handler: 'raw' }] } };

const start = (limit: { most: number }) => startPipeline({ handlers, config, maxBytes: () => limit.most });

describe('a link with a limit of 1024 bytes', () => {
  it.each([
    ['text', '#1 long'],
    ['JSON', '{"id":1,"method":"long"}'],
    ['CBOR', encode({ id: 1, method: 'bytes' })],
    [
      'a JSON batch',
      JSON.stringify(Array.from({ length: 6 }, (_, id) => ({ id: `${id}`.padEnd(20, 'x'), method: 'long' }))),
    ],
  ])('gets replies in %s that are cut to its limit, and no shorter than needed', (_, command) => {
    const { answers } = start({ most: 1024 });
    const [reply = Buffer.alloc(0)] = answers(command);
    expect(reply.length).toBeLessThanOrEqual(1024);
    expect(reply.length).toBeGreaterThan(970);
  });

  it('that is taken while a command runs gets its reply cut to the new limit', async () => {
    const release = deferred<string>();
    const slow = defineHandler({ name: 'slow', description: '', run: () => release.promise });
    const limit = { most: 1300 };
    const { receive, sent } = startPipeline({ handlers: [slow], maxBytes: () => limit.most });
    receive('#1 slow');
    receive('{"id":2,"method":"slow"}');
    limit.most = 1024;
    release.resolve('x'.repeat(1250));
    await expect.poll(() => sent.map(({ bytes }) => bytes.length)).toHaveLength(2);
    for (const { bytes } of sent) expect(bytes.length).toBeLessThanOrEqual(1024);
  });

  it('refuses a batch whose replies may exceed it although 1300 bytes can hold them', () => {
    const ids = Array.from({ length: 12 }, (_, id) => ({ id: `${id}`.padEnd(24, 'x'), method: 'ping' }));
    const batch = JSON.stringify(ids);
    expect(JSON.parse(String(start({ most: 1300 }).answers(batch)[0]))).toHaveLength(12);
    expect(JSON.parse(String(start({ most: 1024 }).answers(batch)[0]))).toMatchObject({ error: { code: -32600 } });
  });

  it('leaves a repeat unmarked where the mark does not fit', () => {
    const limit = { most: 1024 };
    const { answers } = start(limit);
    const [first] = answers('#1 fitting');
    expect(first).toHaveLength(1016);
    expect(answers('#1 fitting')).toEqual([Buffer.from(`#1 repeat ok ${'x'.repeat(1010)}`)]);
    limit.most = 1020;
    expect(answers('#1 fitting')).toEqual([first]);
  });

  it('fails a raw reply that is longer', () => {
    const { answers, counters } = start({ most: 1024 });
    expect(answers('x', FROM_CARRIER, 7001)).toEqual([]);
    expect(counters.outcomes.failed).toBe(1);
    expect(start({ most: 1025 }).answers('x', FROM_CARRIER, 7001)).toHaveLength(1);
  });

  it('gets CoAP blocks with room for the longest header and options', () => {
    const { answers } = start({ most: 1024 });
    const got: Buffer[] = [];
    for (let number = 0, more = true; more && number < 20; number++) {
      const asked = { number, more: false, exponent: 5 };
      const block2 = number === 0 ? {} : { block2: asked };
      const [reply = Buffer.alloc(0)] = answers(
        formatMessage(requestMessage({ path: 'bytes', token: '12345678', messageId: number, ...block2 })),
      );
      expect(reply.length).toBeLessThanOrEqual(1024);
      const message = parseMessage(reply);
      const block = findBlock(message.options, OPTION.block2);
      if (block === undefined || block === 'reserved') expect.unreachable();
      expect(block).toMatchObject({ number, exponent: 5 });
      got.push(message.payload);
      more = block.more;
    }
    expect(Buffer.concat(got)).toEqual(LONG);
  });

  it('continues a transfer that began with larger blocks at the requested offset', () => {
    const limit = { most: 1300 };
    const { answers } = start(limit);
    const ask = (number: number, messageId: number) => {
      const options = [blockOption(OPTION.block2, { number, more: false, exponent: 6 })];
      const [reply = Buffer.alloc(0)] = answers(formatMessage(requestMessage({ path: 'bytes', messageId, options })));
      return parseMessage(reply);
    };
    expect(ask(0, 1).payload).toEqual(LONG.subarray(0, 1024));
    limit.most = 1024;
    const second = ask(1, 2);
    expect(findBlock(second.options, OPTION.block2)).toEqual({ number: 2, more: true, exponent: 5 });
    expect(second.payload).toEqual(LONG.subarray(1024, 1024 + blockSize(5)));
  });

  it('is asked for its limit for each reply', () => {
    const limit = { most: 1300 };
    const { answers } = start(limit);
    const lengths = [1300, 700, 1300].map((most) => {
      limit.most = most;
      return answers('long')[0]?.length ?? 0;
    });
    expect(lengths).toEqual([expect.closeTo(1300, -1), expect.closeTo(700, -1), expect.closeTo(1300, -1)]);
  });
});
