import { decode } from 'cborg';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { silentLog } from '../../../../agent/base/log.js';
import type { ResponseParts } from '../../../../agent/command/coap/received-request.js';
import { createResources, type RequestContext } from '../../../../agent/command/coap/resources.js';
import { MAX_BODY_BYTES, MAX_RESPONSE_BYTES, type Requester } from '../../../../agent/command/coap/transfers.js';
import type { SubmitCommand } from '../../../../agent/command/runner/deadline-gate.js';
import { createRunner } from '../../../../agent/command/runner/runner.js';
import { ping } from '../../../../agent/handlers/builtin/ping.js';
import { defineHandler, type HandlerDefinition } from '../../../../agent/handlers/handler.js';
import { addHandler, compileHandler, type Registry } from '../../../../agent/handlers/registry.js';
import { findBlock } from '../../../../shared/coap/block.js';
import { CONTENT_FORMAT } from '../../../../shared/coap/content-format.js';
import { formatMessage } from '../../../../shared/coap/message.js';
import { findOption, OPTION, stringOption, uintOption } from '../../../../shared/coap/options.js';
import type { Command, Reply } from '../../../../shared/command.js';
import { numberOption, type RequestSetup, requestMessage } from '../../../support/coap.js';

const caller = { kind: 'anyone', port: 5683 } as const;
const PEER: Requester = { name: '192.0.2.1:5683', address: '192.0.2.1', caller };
const LONG = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));

/** What a request's handling gets, where commands are run without a journal. */
const contextWith = (submit: SubmitCommand, respond: RequestContext['respond']): RequestContext => ({
  run: ({ settle, ...ready }) => submit({ ...ready, holder: PEER.address, done: settle }),
  acknowledge: () => undefined,
  limit: () => undefined,
  respond,
  fail(_name, error) {
    throw error;
  },
});

/** Resources with a clock that the test moves. */
function startResources(handlers: readonly HandlerDefinition[] = []) {
  const registry: Registry = new Map();
  for (const definition of [ping, ...handlers]) addHandler(registry, compileHandler(definition));
  const limits = { running: 16, waiting: 0, waitingBytes: 0 };
  const runner = createRunner(limits, { deviceId: 'test', log: silentLog, emit: async () => undefined });
  const clock = { now: 0 };
  const resources = createResources({
    registry,
    authorize: () => undefined,
    now: () => clock.now,
  });
  const reports: { readonly name: string | undefined; readonly reply: Reply }[] = [];
  return {
    clock,
    reports,
    dedupPolicyOf: (setup: RequestSetup) => resources.dedupPolicyOf(requestMessage(setup), caller),
    ask(setup: RequestSetup, peer = PEER): ResponseParts {
      const responses: ResponseParts[] = [];
      const context = contextWith(runner.submit, (parts, ended) => {
        responses.push(parts);
        if (ended !== undefined) reports.push(ended);
      });
      resources.handle(requestMessage(setup), peer, context);
      const [response] = responses;
      if (response === undefined || responses.length > 1) throw new Error(`it responded ${responses.length} times`);
      return response;
    },
  };
}

/** A handler that may not run twice, and how often it did. */
function countingHandler(result: unknown = LONG) {
  const runs: Command[] = [];
  const handler = defineHandler({
    name: 'count.up',
    description: '',
    run: (_, { command }) => {
      runs.push(command);
      return result;
    },
  });
  return { handler, runs };
}

const setRelay = defineHandler({
  name: 'relay.set',
  description: 'Switches a relay',
  params: z.object({ channel: z.number().int(), on: z.boolean() }),
  run: ({ channel, on }) => ({ channel, on }),
});
const give = (name: string, result: unknown) => defineHandler({ name, description: '', safe: true, run: () => result });

const GET = '0.01';
const at = (number: number, exponent = 6, more = false) => ({ number, more, exponent });
const briefly = ({ code, payload }: ResponseParts) => `${code} ${payload}`;
const block2Of = (parts: ResponseParts) => findBlock(parts.options, OPTION.block2);

describe('a path', () => {
  it('leads to the handler of its name, with parameters from query or payload', () => {
    const { ask, reports } = startResources([setRelay]);
    const switched = '2.04 {"channel":1,"on":true}';
    const path = 'relay/set';
    expect(briefly(ask({ path, query: ['channel=1', 'on=true'] }))).toBe(switched);
    expect(briefly(ask({ path, payload: '1 true' }))).toBe(switched);
    expect(briefly(ask({ path, payload: '{"channel":1,"on":true}', contentFormat: 50 }))).toBe(switched);
    expect(briefly(ask({ path, query: ['channel=1'], payload: '{"on":true}', contentFormat: 50 }))).toBe(switched);
    expect(reports.map(({ name }) => name)).toEqual(Array(4).fill('relay.set'));
  });

  it('carries the peer, the token as id, and the format to the handler', () => {
    const { handler, runs } = countingHandler('x');
    startResources([handler]).ask({ path: 'count/up', token: 'ab' });
    expect(runs).toMatchObject([{ id: '6162', name: 'count.up', format: 'coap', peer: PEER.name }]);
  });

  it.each(['nothing', '', 'relay', 'relay/set/more', 'relay.set', '__proto__', 'ping/'.repeat(3)])(
    'that leads nowhere is not found: /%s',
    (path) => {
      expect(startResources([setRelay]).ask({ path }).code).toBe('4.04');
    },
  );

  it('that leads nowhere is not given back whole, so that the answer fits a datagram', () => {
    const { ask } = startResources();
    const path = Array.from({ length: 5 }, () => 'x'.repeat(250)).join('/');
    const response = ask({ path });
    expect(formatMessage({ ...requestMessage({ token: '12345678' }), ...response }).length).toBeLessThan(200);
    expect(briefly(response)).toMatch(/^4\.04 unknown-command: .*\/xxx/);
  });
});

describe('a method', () => {
  it('may be GET for what is safe only', () => {
    const { ask } = startResources([setRelay]);
    expect(briefly(ask({ method: GET, path: 'ping' }))).toBe('2.05 pong');
    expect(briefly(ask({ method: '0.02', path: 'ping' }))).toBe('2.04 pong');
    expect(ask({ method: GET, path: 'relay/set', query: ['channel=1', 'on=true'] }).code).toBe('4.05');
  });

  it.each(['0.03', '0.04', '0.05', '0.06', '0.07', '0.08', '0.31'])(
    'of any other kind is not allowed: %s',
    (method) => {
      const { ask } = startResources();
      expect(ask({ method, path: 'ping' }).code).toBe('4.05');
      expect(ask({ method, path: '.well-known/core' }).code).toBe('4.05');
    },
  );
});

describe('the list of resources', () => {
  it('names every handler, in the link format, whatever is asked for in its query', () => {
    const { ask } = startResources([setRelay]);
    for (const query of [[], ['rt=temperature']]) {
      const response = ask({ method: GET, path: '.well-known/core', query });
      expect(briefly(response)).toBe(
        '2.05 </ping>;title="Answers pong";rt="supersim.command",' +
          '</relay/set>;title="Switches a relay";rt="supersim.command"',
      );
      expect(numberOption(response, OPTION.contentFormat)).toBe(CONTENT_FORMAT.links);
    }
  });

  it('is there as links only', () => {
    const { ask } = startResources();
    const list = { method: GET, path: '.well-known/core' };
    expect(ask({ ...list, accept: CONTENT_FORMAT.links }).code).toBe('2.05');
    expect(ask({ ...list, accept: CONTENT_FORMAT.cbor }).code).toBe('4.06');
  });

  it('comes in blocks when it is long', () => {
    const { ask } = startResources(Array.from({ length: 50 }, (_, index) => give(`handler-${index}`, index)));
    const list = { method: GET, path: '.well-known/core' };
    const blocks = [0, 1, 2].map((number) => ask({ ...list, block2: at(number) }));
    const whole = Buffer.concat(blocks.map(({ payload }) => payload)).toString();
    expect(whole.split(',')).toHaveLength(51);
    expect(blocks.map(block2Of)).toMatchObject([{ more: true }, { more: true }, { more: false }]);
    expect(numberOption(ask(list), OPTION.size2)).toBe(whole.length);
  });
});

describe('a format', () => {
  it.each([
    [CONTENT_FORMAT.text, 'a=1'],
    [CONTENT_FORMAT.json, '{"a":1}'],
  ])('that is accepted is made: %i', (accept, payload) => {
    const response = startResources([give('get', { a: 1 })]).ask({ method: GET, path: 'get', accept });
    expect(briefly(response)).toBe(`2.05 ${payload}`);
    expect(numberOption(response, OPTION.contentFormat)).toBe(accept);
  });

  it('may be CBOR or octets', () => {
    const { ask } = startResources([give('get', Buffer.from([255]))]);
    expect(decode(ask({ path: 'get', accept: CONTENT_FORMAT.cbor }).payload)).toEqual(new Uint8Array([255]));
    expect(ask({ path: 'get', accept: CONTENT_FORMAT.bytes }).payload).toEqual(Buffer.from([255]));
  });

  it.each([41, 11_542, CONTENT_FORMAT.links])(
    'that cannot be made of a reply is not acceptable, and nothing is run for it: %i',
    (accept) => {
      const { handler, runs } = countingHandler('text');
      const { ask, reports } = startResources([handler]);
      expect(ask({ path: 'count/up', accept }).code).toBe('4.06');
      expect(runs).toEqual([]);
      expect(reports).toMatchObject([{ reply: { error: { code: 'bad-params' } } }]);
    },
  );

  it('of a request that is not understood is not supported', () => {
    const { handler, runs } = countingHandler();
    expect(startResources([handler]).ask({ path: 'count/up', contentFormat: 41, payload: 'x' }).code).toBe('4.15');
    expect(runs).toEqual([]);
  });
});

describe('a request that is wrong', () => {
  it.each([
    ['parameters that do not fit', { path: 'relay/set', payload: 'x true' }, '4.00'],
    ['parameters that do not parse', { path: 'relay/set', payload: '"' }, '4.00'],
    ['a critical option that is not understood', { path: 'ping', options: [uintOption(9, 1)] }, '4.02'],
    ['a critical option that stands twice', { path: 'ping', accept: 0, options: [uintOption(17, 0)] }, '4.02'],
    ['a block size that is reserved', { path: 'ping', options: [uintOption(OPTION.block2, 7)] }, '4.00'],
    ['a wish for a proxy', { path: 'ping', options: [stringOption(35, 'coap://a')] }, '5.05'],
  ])('says so: %s', (_, setup, code) => {
    const response = startResources([setRelay]).ask(setup);
    expect(response.code).toBe(code);
    expect(response.payload.length).toBeGreaterThan(0);
    expect(numberOption(response, OPTION.contentFormat)).toBeUndefined();
  });

  it('is no matter when an elective option is not understood', () => {
    const options = [uintOption(6, 0), uintOption(258, 2), uintOption(65_000, 1)];
    expect(briefly(startResources().ask({ path: 'ping', options }))).toBe('2.04 pong');
  });
});

describe('a reply that cannot be sent', () => {
  it('is a failure, to the caller and in the report alike', () => {
    const { ask, reports } = startResources([give('odd', () => 1), give('object', { a: 1 })]);
    expect(briefly(ask({ path: 'odd' }))).toMatch(/^5\.00 bad-reply: /);
    expect(briefly(ask({ path: 'object', accept: CONTENT_FORMAT.bytes }))).toMatch(/^5\.00 bad-reply: /);
    expect(reports.map(({ reply }) => reply)).toMatchObject(Array(2).fill({ error: { code: 'bad-reply' } }));
  });

  it('may be so long that its blocks cannot be kept: that fails at once, not in the middle', () => {
    const { ask, reports } = startResources([
      give('most', Buffer.alloc(MAX_RESPONSE_BYTES)),
      give('more', Buffer.alloc(MAX_RESPONSE_BYTES + 1)),
    ]);
    expect(ask({ path: 'most' }).code).toBe('2.04');
    expect(ask({ path: 'most', block2: at(1023) })).toMatchObject({ code: '2.04', payload: Buffer.alloc(1024) });
    expect(briefly(ask({ path: 'more' }))).toMatch(/^5\.00 bad-reply: /);
    expect(reports[1]?.reply).toMatchObject({ error: { code: 'bad-reply' } });
  });

  it('is none of the longest outputs that are kept of a program, with their mark or as CBOR', () => {
    const head = 'a'.repeat(1_048_576);
    const { ask } = startResources([give('output', { cut: true, bytes: 100_000_000, head })]);
    for (const accept of [CONTENT_FORMAT.text, CONTENT_FORMAT.json, CONTENT_FORMAT.cbor]) {
      expect(ask({ path: 'output', accept }).code).toBe('2.04');
    }
  });
});

describe('a result whose deadline could not be judged', () => {
  it.each([
    ['GET', '0.01'],
    ['POST', '0.02'],
  ])('says so in the response to %s', (_name, method) => {
    const registry: Registry = new Map();
    addHandler(registry, compileHandler(ping));
    const submit: SubmitCommand = ({ done }) => done({ result: 'pong', clockSynchronized: false });
    const { handle } = createResources({ registry, authorize: () => undefined });
    const responses: ResponseParts[] = [];
    handle(
      requestMessage({ path: 'ping', method }),
      PEER,
      contextWith(submit, (parts) => void responses.push(parts)),
    );
    expect(responses).toHaveLength(1);
    expect(findOption(responses[0]?.options ?? [], OPTION.clockUnsynchronized)).toEqual(Buffer.alloc(0));
  });

  it('is not said of any other', () => {
    const { options } = startResources().ask({ path: 'ping' });
    expect(findOption(options, OPTION.clockUnsynchronized)).toBeUndefined();
  });
});

describe('the marks of a reply', () => {
  it.each<[string, Reply, number, string]>([
    ['a refusal not recorded', { error: { code: 'busy', message: 'x' }, recorded: false }, OPTION.unrecorded, ''],
    ['a result forgotten', { result: undefined, forgotten: true }, OPTION.forgotten, ''],
    ['the journal of a result', { result: 'x', journal: '0123456789ab:7' }, OPTION.journal, '0123456789ab:7'],
    ['the journal of an error', { error: { code: 'busy', message: 'x' }, journal: 'j' }, OPTION.journal, 'j'],
  ])('are options of the response: %s', (_, reply, option, value) => {
    const { responseTo } = createResources({ registry: new Map(), authorize: () => undefined });
    const { options } = responseTo(requestMessage({ path: 'ping', method: '0.02' }), reply);
    expect(findOption(options, option)).toEqual(Buffer.from(value));
  });
});

describe('a handler', () => {
  it('that fails is a server error with its own words', () => {
    const fail = defineHandler({
      name: 'fail',
      description: '',
      run: () => {
        throw new Error('no relay there');
      },
    });
    expect(briefly(startResources([fail]).ask({ path: 'fail' }))).toBe('5.00 handler-failed: no relay there');
  });

  it('that finds no place says when to try again', () => {
    const never = defineHandler({ name: 'never', description: '', run: () => new Promise(() => undefined) });
    const registry: Registry = new Map();
    addHandler(registry, compileHandler(never));
    const limits = { running: 1, waiting: 0, waitingBytes: 0 };
    const runner = createRunner(limits, { deviceId: '', log: silentLog, emit: async () => undefined });
    const { handle } = createResources({ registry, authorize: () => undefined });
    const responses: ResponseParts[] = [];
    const context = contextWith(runner.submit, (parts) => void responses.push(parts));
    for (let index = 0; index < 2; index++) handle(requestMessage({ path: 'never' }), PEER, context);
    expect(responses.map(({ code }) => code)).toEqual(['5.03']);
    expect(responses.map((parts) => numberOption(parts, OPTION.maxAge))).toEqual([5]);
  });
});

describe('a long reply', () => {
  it('comes in blocks of 1024 bytes with its size and one tag, and the handler runs once', () => {
    const { handler, runs } = countingHandler();
    const { ask } = startResources([handler]);
    const blocks = [0, 1, 2, 3, 4].map((number) =>
      // As stock clients do: another message ID and another token for each.
      ask({ path: 'count/up', messageId: number, token: `t${number}`, ...(number > 0 && { block2: at(number) }) }),
    );
    expect(Buffer.concat(blocks.map(({ payload }) => payload))).toEqual(LONG);
    expect(blocks.map(block2Of)).toEqual([0, 1, 2, 3, 4].map((number) => at(number, 6, number < 4)));
    expect(new Set(blocks.map((block) => findOption(block.options, OPTION.eTag)?.toString('hex'))).size).toBe(1);
    expect(blocks.map((block) => numberOption(block, OPTION.size2))).toEqual(Array(5).fill(5000));
    expect(blocks.map((block) => numberOption(block, OPTION.contentFormat))).toEqual(Array(5).fill(42));
    expect(runs).toHaveLength(1);
  });

  it('fits a datagram with the longest token and every option that there is', () => {
    const { handler } = countingHandler();
    const { ask } = startResources([handler]);
    const response = ask({ path: 'count/up', block1: at(0) });
    const bytes = formatMessage({ ...requestMessage({ token: '12345678' }), ...response });
    expect(response.payload).toHaveLength(1024);
    expect(bytes.length).toBeLessThanOrEqual(1300);
  });

  it.each([0, 1, 2, 3, 4, 5, 6])('comes in the size that the client wants: exponent %i', (exponent) => {
    const { handler, runs } = countingHandler();
    const { ask } = startResources([handler]);
    const got: Buffer[] = [];
    for (let number = 0, more = true; more; number++) {
      const response = ask({ path: 'count/up', block2: at(number, exponent) });
      const block = block2Of(response);
      if (block === undefined || block === 'reserved') expect.unreachable();
      expect(block).toMatchObject({ number, exponent });
      got.push(response.payload);
      more = block.more;
    }
    expect(Buffer.concat(got)).toEqual(LONG);
    expect(runs).toHaveLength(1);
  });

  it('may go on in smaller blocks, which are counted in their own size', () => {
    const { handler } = countingHandler();
    const { ask } = startResources([handler]);
    ask({ path: 'count/up' });
    expect(ask({ path: 'count/up', block2: at(16, 2) }).payload).toEqual(LONG.subarray(1024, 1088));
  });

  it('says that it is all when it fits the block that was asked for', () => {
    const response = startResources().ask({ method: GET, path: 'ping', block2: at(0, 2) });
    expect(briefly(response)).toBe('2.05 pong');
    expect(block2Of(response)).toEqual(at(0, 2));
  });

  it('ends where it ends: a block behind it is a bad request', () => {
    const { handler, runs } = countingHandler();
    const { ask } = startResources([handler]);
    ask({ path: 'count/up' });
    expect(ask({ path: 'count/up', block2: at(5) }).code).toBe('4.00');
    expect(runs).toHaveLength(1);
  });

  it('of a command that is not safe is gone after its time, and the command is not run for a later block', () => {
    const { handler, runs } = countingHandler();
    const { ask, clock } = startResources([handler]);
    ask({ path: 'count/up' });
    for (const gap of [92_999, 92_999, 93_000]) {
      clock.now += gap;
      expect(ask({ path: 'count/up', block2: at(4) }).code).toBe(gap < 93_000 ? '2.04' : '4.08');
    }
    expect(runs).toHaveLength(1);
  });

  it('is kept for longer through the gateway, where a retransmission comes late', () => {
    const { handler } = countingHandler();
    const { ask, clock } = startResources([handler]);
    const gateway = { name: 'gateway', address: '100.64.0.1', caller };
    ask({ path: 'count/up' }, gateway);
    for (const gap of [314_999, 315_000]) {
      clock.now += gap;
      expect(ask({ path: 'count/up', block2: at(4) }, gateway).code).toBe(gap < 315_000 ? '2.04' : '4.08');
    }
  });

  it('of a safe command is made again when it is gone', () => {
    const { ask } = startResources([give('log', LONG)]);
    expect(ask({ method: GET, path: 'log', block2: at(4) }).payload).toEqual(LONG.subarray(4096));
  });

  it('is one peer’s own, and one tag’s', () => {
    const { handler } = countingHandler();
    const { ask } = startResources([handler]);
    ask({ path: 'count/up', requestTag: '1' });
    expect(ask({ path: 'count/up', requestTag: '1', block2: at(1) }).code).toBe('2.04');
    expect(ask({ path: 'count/up', requestTag: '2', block2: at(1) }).code).toBe('4.08');
    expect(ask({ path: 'count/up', block2: at(1) }).code).toBe('4.08');
    expect(ask({ path: 'count/up', requestTag: '1', block2: at(1) }, { ...PEER, name: '192.0.2.1:5684' }).code).toBe(
      '4.08',
    );
  });

  it('that is an error is told whole too', () => {
    const { ask } = startResources([
      defineHandler({
        name: 'long.fail',
        description: '',
        run: () => {
          throw new Error('y'.repeat(900));
        },
      }),
    ]);
    const first = ask({ path: 'long/fail', block2: at(0, 4) });
    expect(first.code).toBe('5.00');
    expect(block2Of(first)).toEqual(at(0, 4, true));
    expect(ask({ path: 'long/fail', block2: at(1, 4) })).toMatchObject({
      code: '5.00',
      payload: Buffer.alloc(256, 'y'),
    });
  });
});

describe('a long request', () => {
  const sizes = defineHandler({ name: 'size', description: '', run: (_, { command }) => command.params.positional[0] });
  const send = (body: Buffer, number: number, more: boolean, setup: RequestSetup = {}): RequestSetup => ({
    path: 'size',
    contentFormat: CONTENT_FORMAT.bytes,
    block1: { number, more, exponent: 5 },
    payload: body.subarray(number * 512, number * 512 + 512),
    ...setup,
  });

  it('comes in blocks that are each acknowledged, and is run with the whole', () => {
    const { ask, reports } = startResources([sizes]);
    const body = LONG.subarray(0, 1300);
    const [first, second, last] = [ask(send(body, 0, true)), ask(send(body, 1, true)), ask(send(body, 2, false))];
    expect([first, second].map(({ code }) => code)).toEqual(['2.31', '2.31']);
    expect(reports).toHaveLength(1);
    expect([first, second, last].map((parts) => findBlock(parts.options, OPTION.block1))).toEqual([
      { number: 0, more: true, exponent: 5 },
      { number: 1, more: true, exponent: 5 },
      { number: 2, more: false, exponent: 5 },
    ]);
    expect(last.code).toBe('2.04');
    expect(block2Of(last)).toEqual(at(0, 6, true));
    const rest = ask({ path: 'size', block2: at(1) });
    expect(Buffer.concat([last.payload, rest.payload])).toEqual(body);
  });

  it('may want its long reply in blocks of its own size', () => {
    const { ask } = startResources([sizes]);
    ask(send(LONG, 0, true, { block2: at(0, 2) }));
    const last = ask(send(LONG, 1, false, { block2: at(0, 2) }));
    expect(block2Of(last)).toEqual(at(0, 2, true));
    expect(last.payload).toEqual(LONG.subarray(0, 64));
  });

  it('of which a block is missing is incomplete, and not run', () => {
    const { ask, reports } = startResources([sizes]);
    ask(send(LONG, 0, true));
    expect(ask(send(LONG, 2, false)).code).toBe('4.08');
    expect(reports).toMatchObject([{ reply: { error: { code: 'invalid-request' } } }]);
  });

  it('that is too large is told how large it may be', () => {
    const { ask, reports } = startResources([sizes]);
    const response = ask(send(LONG, 0, true, { size1: MAX_BODY_BYTES + 1 }));
    expect(response.code).toBe('4.13');
    expect(numberOption(response, OPTION.size1)).toBe(MAX_BODY_BYTES);
    expect(reports).toMatchObject([{ reply: { error: { code: 'invalid-request' } } }]);
  });

  it('is not mixed with another of the same peer that bears another tag', () => {
    const { ask } = startResources([sizes]);
    const [one, two] = [Buffer.alloc(600, '1'), Buffer.alloc(600, '2')];
    ask(send(one, 0, true, { requestTag: '1' }));
    ask(send(two, 0, true, { requestTag: '2' }));
    expect(ask(send(one, 1, false, { requestTag: '1' })).payload).toEqual(one);
    expect(ask(send(two, 1, false, { requestTag: '2' })).payload).toEqual(two);
  });

  it('to nowhere, or by the wrong method, is refused at its first block', () => {
    const { ask } = startResources([sizes]);
    expect(ask(send(LONG, 0, true, { path: 'nowhere' })).code).toBe('4.04');
    expect(ask(send(LONG, 0, true, { method: '0.03' })).code).toBe('4.05');
  });
});

describe('50 unfinished transfers a second from one address', () => {
  const ATTACKS_PER_SECOND = 50;
  const body = Buffer.alloc(64 * 16, 'b');
  const store = defineHandler({
    name: 'store',
    description: '',
    run: (_, { command }) => command.params.positional[0],
  });

  /** Puts the attacker's requests before each of the owner's 64 blocks, one of which goes in so many seconds. */
  function under(attack: (index: number, attacker: Requester) => void, clock: { now: number }, seconds: number) {
    let index = 0;
    return (attacker: string, block: (number: number) => void) => {
      for (let number = 0; number < 64; number++) {
        for (let times = seconds * ATTACKS_PER_SECOND; times > 0; times--) {
          clock.now += 1000 / ATTACKS_PER_SECOND;
          attack(index, { name: 'gateway', address: attacker, caller });
          attack(index++, { name: `${attacker}:${index % 60_000}`, address: attacker, caller });
        }
        block(number);
      }
    };
  }

  it.each([
    ['direct', PEER, 1],
    ['through the gateway', { name: 'gateway', address: '100.64.0.1', caller }, 2],
  ])('leave the owner’s request %s whole', (_, owner, seconds) => {
    const { ask, clock, reports } = startResources([store]);
    const attacked = under(
      (index, attacker) =>
        ask({ path: 'store', block1: at(0, 0, true), payload: body.subarray(0, 16), requestTag: `${index}` }, attacker),
      clock,
      seconds,
    );
    attacked('100.64.0.66', (number) => {
      const block1 = at(number, 0, number < 63);
      const payload = body.subarray(number * 16, number * 16 + 16);
      const { code } = ask({ path: 'store', contentFormat: CONTENT_FORMAT.bytes, block1, payload }, owner);
      expect(code, `block ${number}`).toBe(number < 63 ? '2.31' : '2.04');
    });
    expect(reports.map(({ reply }) => reply)).toMatchObject([{ result: body }]);
  });

  it.each([
    ['direct', PEER, 1],
    ['through the gateway', { name: 'gateway', address: '100.64.0.1', caller }, 2],
  ])('leave the response that the owner reads %s whole', (_, owner, seconds) => {
    const { handler, runs } = countingHandler(body);
    const { ask, clock } = startResources([handler, give('long', LONG)]);
    const attacked = under((index, peer) => ask({ path: 'long', requestTag: `${index}` }, peer), clock, seconds);
    const read: Buffer[] = [];
    attacked('100.64.0.66', (number) => {
      const { code, payload } = ask({ path: 'count/up', block2: at(number, 0) }, owner);
      expect(code, `block ${number}`).toBe('2.04');
      read.push(payload);
    });
    expect(Buffer.concat(read)).toEqual(body);
    expect(runs).toHaveLength(1);
  });
});

describe('what needs no care when it comes again', () => {
  it('is all that does no harm twice, and nothing else', () => {
    const { handler } = countingHandler();
    const { dedupPolicyOf } = startResources([
      handler,
      defineHandler({ name: 'idempotent', description: '', idempotent: true, run: () => 'x' }),
    ]);
    expect(dedupPolicyOf({ path: 'count/up' })).toBe('track');
    expect(dedupPolicyOf({ path: 'count/up', block1: at(0, 6, true) })).toBe('track');
    expect(dedupPolicyOf({ path: 'count/up', block2: at(0) })).toBe('track');
    expect(dedupPolicyOf({ path: 'nowhere' })).toBe('lookup');
    for (const harmless of [
      { path: 'ping' },
      { path: 'idempotent' },
      { path: 'count/up', method: GET },
      { path: 'count/up', options: [uintOption(9, 1)] },
      { path: '.well-known/core', method: GET },
      // A later block of a reply never runs what is not safe.
      { path: 'count/up', block2: at(1) },
    ]) {
      expect(dedupPolicyOf(harmless), JSON.stringify(harmless)).toBe('none');
    }
  });
});
