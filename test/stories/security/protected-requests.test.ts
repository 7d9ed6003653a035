import { encode } from 'cborg';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { resolveConfig } from '../../../agent/config/load.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import type { DeviceKey } from '../../../agent/security/key-file.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { type CoapMessage, emptyMessage, formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { findOption, OPTION } from '../../../shared/coap/options.js';
import {
  asAfterKill,
  heldHandler,
  lookingHandler,
  settled,
  startWired,
  type WiredSetup,
} from '../../agent/command/wired-support.js';
import { type RequestSetup, requestBytes, summary } from '../../support/coap.js';
import { flippedMessages } from '../../support/oscore.js';
import { startOperator, testKey } from '../../support/security.js';

const DIRECT = { address: '192.0.2.1', port: 40_000 };
const ALLOW_DIRECT = { allow: ['100.64.0.0/10', '192.0.2.0/24'] };
const KEY = testKey();
const OTHER_KEY = testKey({ name: 'other', kid: 2 });

type Operator = ReturnType<typeof startOperator>;
type Wired = Awaited<ReturnType<typeof startWired>>;

/** An agent with a key, and an operator whose requests it does not challenge any more. */
async function startProtected(setup: WiredSetup & { readonly keys?: readonly DeviceKey[] } = {}) {
  const wired = await startWired({ keys: [KEY], ...setup, config: { ...ALLOW_DIRECT, ...setup.config } });
  const operator = startOperator();
  await introduce(wired, operator);
  return { ...wired, operator };
}

/** Follows the challenge that a first request gets. */
async function introduce(wired: Wired, operator: Operator): Promise<void> {
  const echo = await challengeOf(wired, operator.protect({ method: '0.01', path: 'ping' }));
  expect(echo).toBeDefined();
  const again = operator.protect({ method: '0.01', path: 'ping', options: [{ number: OPTION.echo, value: echo }] });
  expect(again.open(await wired.reply(again.bytes)).code).toBe('2.05');
}

/** Sends a request, and returns the Echo value that its response asks for. */
async function challengeOf({ reply }: Wired, { bytes, open }: ReturnType<Operator['protect']>): Promise<Buffer> {
  const { code, options } = open(await reply(bytes));
  const echo = findOption(options, OPTION.echo);
  if (code !== '4.01' || echo === undefined) throw new Error(`it was answered with ${code}, and not challenged`);
  return echo;
}

async function ask({ reply }: Pick<Wired, 'reply'>, operator: Operator, setup: RequestSetup, source = GATEWAY) {
  const request = operator.protect(setup);
  return request.open(await reply(request.bytes, source));
}

const GATEWAY = { address: '100.64.0.1', port: 6969 };
const said = ({ code, payload }: { readonly code: string; readonly payload: Buffer }) => `${code} ${payload}`;
const asMessage = (bytes: Buffer, parts: Partial<CoapMessage>) => formatMessage({ ...parseMessage(bytes), ...parts });

describe('a protected request', () => {
  it('runs its command, and its response can be opened by the operator alone', async () => {
    const { handler, seen } = lookingHandler('look', () => 1, 'secret answer');
    const { reply, operator } = await startProtected({ handlers: [handler] });
    const request = operator.protect({
      path: 'look',
      payload: '{"secret":"question"}',
      contentFormat: CONTENT_FORMAT.json,
    });
    const response = await reply(request.bytes);
    expect(said(request.open(response))).toBe('2.04 "secret answer"');
    expect(seen).toHaveLength(1);
    for (const bytes of [request.bytes, response]) expect(bytes.toString('latin1')).not.toMatch(/secret|look/);
    expect(() => startOperator({ kid: 2 }).protect().open(response)).toThrow(/cannot be opened/);
  });

  it('lists the commands, and is told which command there is not', async () => {
    const wired = await startProtected();
    const { operator } = wired;
    expect(said(await ask(wired, operator, { method: '0.01', path: '.well-known/core' }))).toContain('</ping>');
    expect(said(await ask(wired, operator, { path: 'nothing' }))).toMatch(/^4\.04 unknown-command/);
  });

  it('is taken with the kid context of the device, and with no other', async () => {
    const { answers, operator, counters } = await startProtected();
    const own = operator.protect({ method: '0.01', path: 'ping', sendsKidContext: true });
    expect(answers(own.bytes)).toHaveLength(1);
    // A number that was accepted would be refused as a replay before its kid context is looked at.
    const number = own.number + 1;
    const other = startOperator({ deviceId: '8988307000000000001' }).protect({ sendsKidContext: true, number });
    expect(answers(other.bytes)).toEqual([]);
    expect(counters.denied['unknown-kid']).toBe(1);
  });

  it('gets a command that its key may not call refused before its parameters are checked', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const key = testKey({ allow: ['ping', 'health'] });
    const wired = await startProtected({ handlers: [handler], keys: [key] });
    expect(said(await ask(wired, wired.operator, { path: 'look', payload: '{', contentFormat: 50 }))).toMatch(
      /^4\.03 forbidden: /,
    );
    expect(seen).toEqual([]);
    expect(wired.counters.denied.forbidden).toBe(1);
  });
});

describe('a key that may call some commands', () => {
  it('is shown these alone', async () => {
    const wired = await startProtected({ keys: [testKey({ allow: ['ping'] })] });
    const links = await ask(wired, wired.operator, { method: '0.01', path: '.well-known/core' });
    expect(links.payload.toString()).toMatch(/^<\/ping>[^<]*$/);
  });

  it('is refused another one whatever block of the answer it asks for', async () => {
    const wired = await startProtected({ keys: [testKey({ allow: ['ping'] })] });
    const block2 = { number: 2, more: false, exponent: 6 };
    expect(said(await ask(wired, wired.operator, { method: '0.01', path: 'health', block2 }))).toMatch(
      /^4\.03 forbidden/,
    );
  });

  it('has what waits run when a reload changes what it may call, and leaves this', async () => {
    const held = heldHandler();
    const { handler, seen } = lookingHandler('look', () => 1);
    const wired = await startProtected({ handlers: [held.handler, handler], config: { limits: { running: 1 } } });
    const { operator, sent, pipeline, receive } = wired;
    const [holding, waiting] = [operator.protect({ path: 'hold' }), operator.protect({ path: 'look' })];
    sent.length = 0;
    receive(holding.bytes);
    await held.running;
    receive(waiting.bytes);
    const config = resolveConfig({ state: { folder: wired.folder } });
    pipeline.change(config, { keys: [testKey({ allow: ['look'] })], problems: [] });
    held.release('ok');
    await expect.poll(() => sent.length).toBe(2);
    expect(waiting.open(sent[1]?.bytes ?? Buffer.alloc(0)).code).toBe('2.04');
    expect(seen).toHaveLength(1);
  });
});

describe('a protected request that comes again', () => {
  it.each([
    ['that is safe, from memory', { method: '0.01', path: 'look' }, true],
    ['that is journalled, from the journal', { path: 'look' }, false],
  ])('byte by byte %s, is answered with the same ciphertext', async (_, setup, safe) => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { reply, operator, counters } = await startProtected({ handlers: [{ ...handler, safe }] });
    const { bytes, open } = operator.protect(setup);
    const first = await reply(bytes);
    await settled();
    const again = await reply(bytes);
    expect(again.equals(first)).toBe(true);
    expect(open(again).payload.toString()).toBe('ok');
    expect(seen).toHaveLength(1);
    expect(counters).toMatchObject({ repeats: 1, denied: { replay: 0 } });
  });

  it('while it runs is not run again, and both are answered by one ciphertext', async () => {
    const held = heldHandler();
    const { receive, operator, sent } = await startProtected({ handlers: [held.handler] });
    const { bytes, open } = operator.protect({ path: 'hold' });
    sent.length = 0;
    receive(bytes);
    await held.running;
    receive(bytes);
    held.release('done');
    await expect.poll(() => sent.length).toBe(2);
    const [ack, response] = sent.map((one) => one.bytes);
    expect(summary(ack ?? Buffer.alloc(0))).toMatch(/^ACK 0\.00/);
    expect(said(open(response ?? Buffer.alloc(0)))).toBe('2.04 done');
    expect(held.called).toHaveLength(1);
    await settled();
    receive(bytes);
    await expect.poll(() => sent.length).toBe(3);
    const last = sent[2]?.bytes ?? Buffer.alloc(0);
    expect(parseMessage(last).payload.equals(parseMessage(response ?? Buffer.alloc(0)).payload)).toBe(true);
  });

  it('in another message, or from another address, is a replay: it does not run, and only a direct peer is told', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { reply, answers, operator, counters } = await startProtected({ handlers: [handler] });
    const { bytes } = operator.protect({ path: 'look' });
    await reply(bytes);
    await settled();
    const message = parseMessage(bytes);
    const others = [{ messageId: message.messageId ^ 1 }, { token: Buffer.from('other') }, { type: 'NON' as const }];
    for (const other of others) expect(answers(asMessage(bytes, other))).toEqual([]);
    await settled();
    const [told] = answers(bytes, DIRECT);
    expect(summary(told ?? Buffer.alloc(0))).toMatch(/^ACK 4\.01 .* Replay detected$/);
    expect(seen).toHaveLength(1);
    expect(counters.denied.replay).toBe(4);
  });

  it('changed in any bit of its code, its OSCORE option or its ciphertext runs nothing, and is not answered', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { receive, reply, operator, sent } = await startProtected({ handlers: [handler] });
    const { bytes } = operator.protect({ path: 'look' });
    const message = parseMessage(bytes);
    sent.length = 0;
    for (const flipped of flippedMessages(message)) receive(formatMessage({ ...message, ...flipped }));
    await settled();
    expect(seen).toEqual([]);
    // With a flipped critical option number it is no protected request any more: that is refused too.
    expect(sent).toEqual([]);
    await reply(bytes);
    expect(seen).toHaveLength(1);
  });
});

describe('after the agent was killed, a protected request', () => {
  async function kill(before: Awaited<ReturnType<typeof startProtected>>, setup: WiredSetup = {}) {
    await settled();
    // The clock passes the numbers that were reserved.
    const wall = Date.now.bind(Date);
    const spy = vi.spyOn(Date, 'now').mockImplementation(() => wall() + 10_000);
    onTestFinished(() => spy.mockRestore());
    const after = await startWired({ keys: [KEY], ...setup, folder: asAfterKill(before.folder) });
    return { ...after, operator: before.operator };
  }

  it('that ran is answered from the journal with the same bytes, and does not run again', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const before = await startProtected({ handlers: [handler] });
    const { bytes } = before.operator.protect({ path: 'look' });
    const first = await before.reply(bytes);
    const after = await kill(before, { handlers: [handler] });
    expect((await after.reply(bytes)).equals(first)).toBe(true);
    expect(seen).toHaveLength(1);
  });

  it('that is not remembered is challenged, and runs only with the Echo value of this run', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const safe = { ...handler, safe: true };
    const before = await startProtected({ handlers: [safe] });
    const { operator } = before;
    const old = operator.protect({ method: '0.01', path: 'look' });
    await before.reply(old.bytes);
    const after = await kill(before, { handlers: [safe] });
    const echo = await challengeOf(after, old);
    expect((await after.reply(old.bytes)).equals(await after.reply(old.bytes))).toBe(true);
    expect(seen).toHaveLength(1);
    const withOldEcho = operator.protect({ path: 'look', options: [{ number: OPTION.echo, value: Buffer.alloc(12) }] });
    await challengeOf(after, withOldEcho);
    expect(seen).toHaveLength(1);
    const again = operator.protect({ path: 'look', options: [{ number: OPTION.echo, value: echo }] });
    expect(said(again.open(await after.reply(again.bytes)))).toBe('2.04 ok');
    expect(seen).toHaveLength(2);
    expect(said(await ask(after, operator, { path: 'look' }))).toBe('2.04 ok');
    expect(after.counters.denied.stale).toBe(2);
  });

  it('that had started is answered as interrupted, protected, also when it comes again', async () => {
    const held = heldHandler();
    const before = await startProtected({ handlers: [held.handler] });
    const { bytes, open } = before.operator.protect({ path: 'hold' });
    before.receive(bytes);
    await held.running;
    const after = await kill(before, { handlers: [held.handler] });
    const [report] = after.sent.map((one) => one.bytes);
    expect(said(open(report ?? Buffer.alloc(0)))).toMatch(/^5\.00 interrupted: /);
    expect(said(open(await after.reply(bytes)))).toMatch(/^5\.00 interrupted: /);
    expect(held.called).toHaveLength(1);
    held.release('late');
  });

  it('that waited runs, and its response can be opened', async () => {
    const held = heldHandler();
    const { handler, seen } = lookingHandler('look', () => 1);
    const before = await startProtected({ handlers: [held.handler, handler], config: { limits: { running: 1 } } });
    before.receive(before.operator.protect({ path: 'hold' }).bytes);
    await held.running;
    const waiting = before.operator.protect({ path: 'look', payload: '{"a":"b"}', contentFormat: 50 });
    before.receive(waiting.bytes);
    const after = await kill(before, { handlers: [handler] });
    await expect.poll(() => after.sent.length).toBeGreaterThan(1);
    expect(seen).toHaveLength(1);
    const opened = after.sent.flatMap(({ bytes }) => {
      try {
        return [said(waiting.open(bytes))];
      } catch {
        return [];
      }
    });
    expect(opened).toEqual(['2.04 "ok"']);
    held.release('late');
  });

  it('whose key was taken away meanwhile does not run', async () => {
    const held = heldHandler();
    const { handler, seen } = lookingHandler('look', () => 1);
    const before = await startProtected({ handlers: [held.handler, handler], config: { limits: { running: 1 } } });
    before.receive(before.operator.protect({ path: 'hold' }).bytes);
    await held.running;
    before.receive(before.operator.protect({ path: 'look' }).bytes);
    const after = await kill(before, { handlers: [handler], keys: [OTHER_KEY] });
    await settled();
    expect({ runs: seen, sent: after.sent }).toEqual({ runs: [], sent: [] });
    expect(after.journal.size.live).toBe(0);
    held.release('late');
  });
});

describe('after a clean stop, a protected request', () => {
  it('is known as a replay if it was accepted before, and new ones are not challenged', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const safe = { ...handler, safe: true };
    const before = await startProtected({ handlers: [safe] });
    const old = before.operator.protect({ method: '0.01', path: 'look' });
    await before.reply(old.bytes);
    await before.security.stop();
    await before.database.close();
    const after = await startWired({ keys: [KEY], folder: before.folder, handlers: [safe] });
    expect(after.answers(old.bytes)).toEqual([]);
    await settled();
    expect(after.counters.denied).toMatchObject({ replay: 1, stale: 0 });
    expect(said(await ask(after, before.operator, { path: 'look' }))).toBe('2.04 ok');
    expect(seen).toHaveLength(2);
  });
});

describe('a body in blocks inside the protection', () => {
  const LONG = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
  const at = (number: number, more = false, exponent = 6) => ({ number, more, exponent });
  const store = defineHandler({ name: 'store', description: '', run: (params) => params });
  const long = defineHandler({ name: 'long', description: '', safe: true, run: () => LONG });

  it('comes to its command, and a long response goes in blocks that are protected each', async () => {
    const wired = await startProtected({ handlers: [long, store] });
    const { operator } = wired;
    const read: Buffer[] = [];
    for (let number = 0; number < 5; number++) {
      const { code, payload } = await ask(wired, operator, { method: '0.01', path: 'long', block2: at(number) });
      expect(code).toBe('2.05');
      read.push(payload);
    }
    expect(Buffer.concat(read).equals(LONG)).toBe(true);
    const text = JSON.stringify({ a: 'x'.repeat(3000) });
    const codes: string[] = [];
    for (let number = 0; number * 1024 < text.length; number++) {
      const payload = text.slice(number * 1024, (number + 1) * 1024);
      const block1 = at(number, (number + 1) * 1024 < text.length);
      codes.push((await ask(wired, operator, { path: 'store', block1, payload, contentFormat: 50 })).code);
    }
    expect(codes).toEqual(['2.31', '2.31', '2.04']);
  });

  it('is kept for its key: neither another key nor an unprotected request can read on', async () => {
    const keys = [KEY, OTHER_KEY];
    const wired = await startProtected({ keys, handlers: [long], config: { security: { except: ['long', 'ping'] } } });
    const other = startOperator({ kid: 2 });
    await introduce(wired, other);
    await ask(wired, wired.operator, { method: '0.01', path: 'long', block2: at(0) });
    // What is not kept for a caller is made anew, and this body is too short for a second block.
    const known = wired.registry.get('long');
    if (known !== undefined) wired.registry.set('long', { ...known, run: () => 'short' });
    expect((await ask(wired, wired.operator, { method: '0.01', path: 'long', block2: at(1) })).code).toBe('2.05');
    expect((await ask(wired, other, { method: '0.01', path: 'long', block2: at(1) })).code).toBe('4.00');
  });

  it('takes no block that was held back, and belongs to a transfer before', async () => {
    const { handler, seen } = lookingHandler('store', () => 1);
    const wired = await startProtected({ handlers: [handler] });
    const { operator } = wired;
    const block = (number: number, letter: string) =>
      operator.protect({
        path: 'store',
        contentFormat: CONTENT_FORMAT.bytes,
        block1: at(number, number < 2, 0),
        payload: letter.repeat(16),
      });
    const send = async ({ bytes, open }: ReturnType<typeof block>) => open(await wired.reply(bytes)).code;
    expect(await send(block(0, 'e'))).toBe('2.31');
    const heldBack = block(1, 'e');
    expect(await send(block(0, 'f'))).toBe('2.31');
    const second = block(1, 'f');
    expect(await send(heldBack)).toBe('4.08');
    expect(await send(second)).toBe('2.31');
    expect(await send(block(2, 'f'))).toBe('2.04');
    expect(seen).toHaveLength(1);
  });

  it('is refused when its Block option is outside the protection', async () => {
    const { answers, operator, counters } = await startProtected();
    const { bytes } = operator.protect({ method: '0.01', path: 'ping' });
    const message = parseMessage(bytes);
    const options = [...message.options, { number: OPTION.block2, value: Buffer.of(0x06) }];
    expect(answers(formatMessage({ ...message, options }))).toEqual([]);
    expect(summary(answers(formatMessage({ ...message, options }), DIRECT)[0] ?? Buffer.alloc(0))).toMatch(
      /^ACK 4\.02 /,
    );
    expect(counters.denied['outer-block']).toBe(2);
  });
});

describe('a direct peer that has not shown its address', () => {
  it('gets a long response in small blocks, with an Echo option inside the protection', async () => {
    const handler = defineHandler({ name: 'long', description: '', safe: true, run: () => 'x'.repeat(1000) });
    const wired = await startProtected({ handlers: [handler] });
    const { operator } = wired;
    const request = operator.protect({ method: '0.01', path: 'long' });
    const response = await wired.reply(request.bytes, DIRECT);
    expect(response.length).toBeLessThanOrEqual(Math.max(200, 3 * request.bytes.length));
    const { options, payload } = request.open(response);
    const echo = findOption(options, OPTION.echo) ?? Buffer.alloc(0);
    expect({ payload: payload.length, echo: echo.length }).toEqual({ payload: 128, echo: 12 });
    const proof = { method: '0.01', path: 'long', options: [{ number: OPTION.echo, value: echo }] };
    expect((await ask(wired, operator, proof, DIRECT)).payload).toHaveLength(1000);
  });

  it('is acknowledged, and then gets the one ciphertext of a slow response in a message of its own', async () => {
    const held = heldHandler();
    const { receive, operator, sent } = await startProtected({
      handlers: [held.handler],
      config: { allow: ['127.0.0.0/8', '100.64.0.0/10'] },
    });
    const { bytes, open } = operator.protect({ path: 'hold' });
    const source = { address: '127.0.0.9', port: 40_001 };
    sent.length = 0;
    receive(bytes, source);
    await held.running;
    receive(bytes, source);
    held.release('late');
    await expect.poll(() => sent.length).toBe(2);
    const [ack, separate] = sent.map((one) => one.bytes);
    expect(summary(ack ?? Buffer.alloc(0))).toMatch(/^ACK 0\.00/);
    const opened = open(separate ?? Buffer.alloc(0));
    expect([opened.type, said(opened)]).toEqual(['CON', '2.04 late']);
    await settled();
    receive(bytes, source);
    await expect.poll(() => sent.length).toBe(3);
    expect(parseMessage(sent[2]?.bytes ?? Buffer.alloc(0)).payload.equals(opened.ciphertext)).toBe(true);
  });
});

describe('a device with a key', () => {
  const UNPROTECTED: [format: string, request: Uint8Array | string][] = [
    ['text', '#1 look'],
    ['text without an id', 'look'],
    ['a text that cannot be parsed', 'look "'],
    ['JSON', '{"id":1,"method":"look"}'],
    ['JSON that cannot be parsed', '{"id":1,'],
    ['a batch with an excepted command and another', '[{"id":1,"method":"ping"},{"id":2,"method":"look"}]'],
    ['CBOR', encode({ id: 1, method: 'look' })],
    ['CoAP', requestBytes({ path: 'look', token: 'a' })],
    ['CoAP that is not confirmable', requestBytes({ type: 'NON', path: 'look' })],
    ['the list of commands', requestBytes({ method: '0.01', path: '.well-known/core' })],
    ['an unknown command', requestBytes({ path: 'nothing' })],
    ['a later block', requestBytes({ method: '0.01', path: 'look', block2: { number: 1, more: false, exponent: 6 } })],
    ['a malformed request', requestBytes({ path: 'look', options: [{ number: 65_001, value: Buffer.alloc(0) }] })],
    ['a CoAP ping', formatMessage(emptyMessage('CON', 5))],
  ];

  it.each(UNPROTECTED)('answers nothing through the gateway, and runs nothing, for %s', async (_, request) => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { answers, counters } = await startWired({
      keys: [KEY],
      handlers: [handler],
      config: { security: { except: ['ping'] } },
    });
    expect(answers(request)).toEqual([]);
    await settled();
    expect(seen).toEqual([]);
    expect(counters.denied.unprotected).toBe(1);
  });

  it.each(UNPROTECTED.slice(0, -2))('tells a direct peer at most that it must protect %s', async (_, request) => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { reply } = await startWired({ keys: [KEY], handlers: [handler], config: ALLOW_DIRECT });
    const answer = await reply(request, DIRECT);
    expect(answer.toString('latin1')).toMatch(/authentication-required|-32009|parse-error|the body ends/);
    expect(answer.toString('latin1')).not.toContain('health');
    expect(seen).toEqual([]);
  });

  it('refuses what waited unprotected when the key came, and answers nothing through the gateway', async () => {
    const held = heldHandler();
    const { handler, seen } = lookingHandler('look', () => 1);
    const wired = await startWired({ handlers: [held.handler, handler], config: { limits: { running: 1 } } });
    const { receive, sent, pipeline, counters } = wired;
    receive('#0 hold');
    await held.running;
    receive('#1 look');
    receive('{"id":2,"method":"look"}');
    receive(requestBytes({ path: 'look', token: 'a', messageId: 9 }));
    await settled();
    sent.length = 0;
    pipeline.change(resolveConfig({ state: { folder: wired.folder } }), { keys: [KEY], problems: [] });
    held.release('ok');
    await expect.poll(() => counters.outcomes.refused).toBe(3);
    await settled();
    expect({ seen, sent }).toEqual({ seen: [], sent: [] });
  });

  it('answers excepted commands as if there were no key', async () => {
    const { answers } = await startWired({ keys: [KEY], config: { security: { except: ['ping'] } } });
    expect(answers('#1 ping').map(String)).toEqual(['#1 ok pong']);
    expect(answers('[{"id":1,"method":"ping"}]').map(String)).toEqual([expect.stringContaining('pong')]);
    expect(summary(answers(requestBytes({ method: '0.01', path: 'ping' }))[0] ?? Buffer.alloc(0))).toMatch(
      /^ACK 2\.05 /,
    );
  });

  it('takes unprotected requests on a port that is marked so, but for commands that end or change the device', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const ports = [5683, { port: 7000, unprotected: 'allow' as const }];
    const { reply, answers, registry } = await startWired({
      keys: [KEY],
      handlers: [handler],
      config: { listen: { ports } },
    });
    expect(String(await reply('#1 look', GATEWAY, 7000))).toBe('#1 ok ok');
    expect(answers('#1 look', GATEWAY, 5683)).toEqual([]);
    const known = registry.get('look');
    if (known !== undefined) registry.set('look', { ...known, needsAuthentication: true });
    expect(String(await reply('#2 look', GATEWAY, 7000))).toMatch(/^#2 error authentication-required /);
    expect(seen).toHaveLength(1);
  });

  it('runs commands that end or change it for a holder of the key', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const wired = await startProtected({ handlers: [handler] });
    const known = wired.registry.get('look');
    if (known !== undefined) wired.registry.set('look', { ...known, needsAuthentication: true });
    expect((await ask(wired, wired.operator, { path: 'look' })).code).toBe('2.04');
    expect(seen).toHaveLength(1);
  });

  it('refuses a command that waits when a reload takes its key away, and takes a new key at once', async () => {
    const held = heldHandler();
    const { handler, seen } = lookingHandler('look', () => 1);
    const wired = await startProtected({ handlers: [held.handler, handler], config: { limits: { running: 1 } } });
    const { operator, sent, pipeline, receive } = wired;
    const holding = operator.protect({ path: 'hold' });
    const waiting = operator.protect({ path: 'look' });
    sent.length = 0;
    receive(holding.bytes);
    await held.running;
    receive(waiting.bytes);
    pipeline.change(resolveConfig({ state: { folder: wired.folder } }), { keys: [OTHER_KEY], problems: [] });
    held.release('ok');
    await expect.poll(() => sent.length).toBe(2);
    expect(said(waiting.open(sent[1]?.bytes ?? Buffer.alloc(0)))).toMatch(
      /^4\.03 forbidden: the key is not in use any more/,
    );
    expect(seen).toEqual([]);
    expect(wired.answers(operator.protect({ path: 'look' }).bytes)).toEqual([]);
    const other = startOperator({ kid: 2 });
    await introduce(wired, other);
    expect((await ask(wired, other, { path: 'look' })).code).toBe('2.04');
  });
});

describe('without a sequence number for the response', () => {
  it('a protected request is not taken in, not answered and not refused for good', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const setup = { keys: [KEY], handlers: [handler], isSynchronized: false };
    const wired = await startWired(setup);
    const operator = startOperator();
    expect(wired.answers(operator.protect({ path: 'look' }).bytes)).toEqual([]);
    expect({ seen, denied: wired.counters.denied.numbers }).toEqual({ seen: [], denied: 1 });
    expect(wired.security.status().numbers).toBe('unknown');
  });
});
