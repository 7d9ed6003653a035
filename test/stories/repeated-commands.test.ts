import { decode, encode } from 'cborg';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  asAfterKill,
  heldHandler,
  lookingHandler,
  onDisk,
  settled,
  startWired,
} from '../agent/command/wired-support.js';
import { requestBytes, summary, withoutId } from '../support/coap.js';
import type { Sent } from '../support/pipeline.js';

const DIRECT = { address: '192.168.1.5', port: 40_000 };
/** Direct too; it need not prove its address. */
const LOCAL = { address: '127.0.0.1', port: 40_000 };
const DIRECT_CONFIG = { allow: ['192.168.0.0/16', '100.64.0.0/10'] };

/** How a command that is known by an id comes, and what a repeat is answered when it has ended. */
const FORMATS: [format: string, request: Uint8Array | string, marked: unknown, read: (reply: Buffer) => unknown][] = [
  ['text', '#1 look', '#1 repeat ok ok', String],
  [
    'json',
    '{"id":1,"method":"look"}',
    { jsonrpc: '2.0', id: 1, result: 'ok', repeat: true },
    (reply) => JSON.parse(String(reply)),
  ],
  [
    'cbor',
    encode({ id: 1, method: 'look' }),
    { jsonrpc: '2.0', id: 1, result: 'ok', repeat: true },
    (reply) => decode(reply),
  ],
  ['coap', requestBytes({ path: 'look', token: 'a', messageId: 9 }), 'ACK 2.04 #9 "a" ok', summary],
  ['coap, non-confirmable', requestBytes({ type: 'NON', path: 'look', token: 'a' }), 'NON 2.04 "a" ok', withoutId],
];

const last = (sent: readonly Sent[]) => sent.at(-1)?.bytes ?? Buffer.alloc(0);

describe('a command that comes again', () => {
  it.each(FORMATS)(
    'when it has ended is answered as it was, and does not run: %s',
    async (_, request, marked, read) => {
      const { handler, seen } = lookingHandler('look', () => 1);
      const { reply, sent, counters, folder } = await startWired({ handlers: [handler] });
      const first = await reply(request);
      const again = await reply(request);
      await settled();
      expect(sent).toHaveLength(1);
      expect(read(again)).toEqual(marked);
      if (typeof marked === 'string' && !marked.startsWith('#')) expect(again).toEqual(first);
      expect(seen).toHaveLength(1);
      expect(counters.repeats).toBe(1);
      expect(onDisk(folder)).toHaveLength(1);
    },
  );

  it.each(FORMATS)(
    'after the agent was started again is answered as it was, and does not run: %s',
    async (_, request, marked, read) => {
      const { handler, seen } = lookingHandler('look', () => 1);
      const before = await startWired({ handlers: [handler] });
      const first = await before.reply(request);
      await before.database.close();
      const { reply, counters } = await startWired({ folder: before.folder, handlers: [handler] });
      const again = await reply(request);
      expect(read(again)).toEqual(marked);
      if (typeof marked === 'string' && !marked.startsWith('#')) expect(again).toEqual(first);
      expect(await reply(request)).toEqual(again);
      expect(seen).toHaveLength(1);
      expect(counters).toMatchObject({ repeats: 2, outcomes: { done: 0 } });
    },
  );

  it.each(FORMATS)('after a kill, and ran to its end before it, does not run: %s', async (_, request, marked, read) => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const before = await startWired({ handlers: [handler] });
    await before.reply(request);
    const { reply } = await startWired({ folder: asAfterKill(before.folder), handlers: [handler] });
    expect(read(await reply(request))).toEqual(marked);
    expect(seen).toHaveLength(1);
  });

  it.each([
    ['text', '#1 hold', /^#1 repeat error running /],
    ['json', '{"id":1,"method":"hold"}', /"code":-32007.*"repeat":true/],
  ])('while it runs, or waits, is told so: %s', async (_, request, told) => {
    const { handler, called, running, release } = heldHandler();
    const { receive, texts, folder } = await startWired({ handlers: [handler], config: { limits: { running: 1 } } });
    // Its start is not on the disk yet.
    receive(request);
    receive(request);
    expect(texts()).toEqual([expect.stringMatching(told)]);
    await running;
    receive(request);
    const waiting = request.replace('1', '2');
    receive(waiting);
    receive(waiting);
    expect(texts()).toEqual([
      expect.stringMatching(told),
      expect.stringMatching(told),
      expect.stringMatching(told.source.replace('1', '2')),
    ]);
    release('at last');
    await settled();
    expect(texts().slice(3)).toEqual([expect.stringContaining('at last'), expect.stringContaining('at last')]);
    expect(called).toHaveLength(2);
    expect(onDisk(folder)).toHaveLength(2);
  });

  it('while it runs, in CoAP, is acknowledged, and its response comes separately', async () => {
    const { handler, running, release, called } = heldHandler();
    const { receive, reply, sent } = await startWired({ handlers: [handler], config: { allow: ['127.0.0.0/8'] } });
    const request = requestBytes({ path: 'hold', token: 'a', messageId: 9 });
    receive(request, LOCAL);
    await running;
    receive(request, LOCAL);
    release('at last');
    await settled();
    expect(sent.map(({ bytes }) => withoutId(bytes))).toEqual(['ACK 0.00', 'CON 2.04 "a" at last']);
    expect(summary(await reply(request, LOCAL))).toBe('ACK 2.04 #9 "a" at last');
    expect(called).toHaveLength(1);
  });

  it('between its end and the commit of it is told that it runs, and gets its reply', async () => {
    const { handler, running, release } = heldHandler();
    const { receive, texts } = await startWired({ handlers: [handler] });
    receive('#1 hold');
    await running;
    release('x');
    await Promise.resolve();
    await Promise.resolve();
    receive('#1 hold');
    await settled();
    expect(texts()).toEqual([expect.stringMatching(/^#1 repeat error running /), '#1 ok x']);
  });

  it('when its deadline has passed gets its reply, not that it is expired', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const { handler, seen } = lookingHandler('look', () => 1);
    const deadline = Math.ceil(Date.now() / 1000) + 60;
    const request = JSON.stringify({ id: 1, method: 'look', deadline });
    const before = await startWired({ handlers: [handler] });
    expect(String(await before.reply(request))).toContain('"ok"');
    vi.setSystemTime(deadline * 1000);
    expect(JSON.parse(String(await before.reply(request)))).toMatchObject({ result: 'ok', repeat: true });
    before.database.close();
    const after = await startWired({ folder: before.folder, handlers: [handler] });
    expect(JSON.parse(String(await after.reply(request)))).toMatchObject({ result: 'ok', repeat: true });
    const another = JSON.stringify({ id: 2, method: 'look', deadline });
    expect(JSON.parse(String(await after.reply(another)))).toMatchObject({ error: { code: -32005 } });
    expect(seen).toHaveLength(1);
  });

  it('is known by its peer too: the same bytes of another are another command', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const before = await startWired({ handlers: [handler], config: DIRECT_CONFIG });
    await before.reply('#1 look');
    before.database.close();
    const { reply } = await startWired({ folder: before.folder, handlers: [handler], config: DIRECT_CONFIG });
    expect(String(await reply('#1 look', { address: '100.99.9.9', port: 5 }))).toBe('#1 repeat ok ok');
    expect(String(await reply('#1 look', DIRECT))).toBe('#1 ok ok');
    expect(String(await reply('#1 look', { ...DIRECT, port: 1 }))).toBe('#1 ok ok');
    expect(seen).toHaveLength(3);
  });

  it('and wanted no reply gets none, and does not run', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const batch = '[{"id":1,"method":"nothing"},{"method":"look"}]';
    const before = await startWired({ handlers: [handler] });
    const first = JSON.parse(String(await before.reply(batch)));
    before.database.close();
    const { reply } = await startWired({ folder: before.folder, handlers: [handler] });
    expect(JSON.parse(String(await reply(batch)))).toEqual([{ ...first[0], repeat: true }]);
    expect(seen).toHaveLength(1);
  });

  it('whose reply fills a datagram gets it without the mark', async () => {
    const { handler } = lookingHandler('look', () => 1, 'x'.repeat(2000));
    const before = await startWired({ handlers: [handler] });
    const first = await before.reply('#1 look');
    before.database.close();
    const { reply } = await startWired({ folder: before.folder, handlers: [handler] });
    expect(first).toHaveLength(1300);
    expect(await reply('#1 look')).toEqual(first);
  });

  it('as a batch is told that all of it runs, then has all replies marked', async () => {
    const { handler, running, release } = heldHandler('h');
    const { receive, sent } = await startWired({ handlers: [handler] });
    const batch = encode(Array.from({ length: 15 }, (_, id) => ({ id, method: 'h' })));
    receive(batch);
    await running;
    receive(batch);
    const told: unknown[] = decode(last(sent));
    expect(told).toHaveLength(15);
    expect(told[14]).toMatchObject({ id: 14, error: { code: -32007 } });
    release(7);
    await settled();
    receive(batch);
    const replies: unknown[] = decode(last(sent));
    expect(replies).toHaveLength(15);
    expect(last(sent).length).toBeLessThanOrEqual(1300);
  });
});

describe('a response in several blocks', () => {
  const long = 'x'.repeat(1500);

  it('is answered from the journal with its first block after a start', async () => {
    const { handler, seen } = lookingHandler('look', () => 1, long);
    const before = await startWired({ handlers: [handler] });
    const first = await before.reply(requestBytes({ path: 'look', token: 'a' }));
    before.database.close();
    const { reply } = await startWired({ folder: before.folder, handlers: [handler] });
    expect(await reply(requestBytes({ path: 'look', token: 'a' }))).toEqual(first);
    const second = { path: 'look', token: 'b', messageId: 2, block2: { number: 1, more: false, exponent: 6 } };
    expect(withoutId(await reply(requestBytes(second)))).toMatch(/^ACK 4\.08 "b"/);
    expect(seen).toHaveLength(1);
  });
});

describe('a request whose body came in blocks', () => {
  const body = JSON.stringify({ text: 'y'.repeat(1000) });
  const block = (number: number, more: boolean) =>
    requestBytes({
      path: 'look',
      token: 'a',
      messageId: 10 + number,
      contentFormat: 50,
      requestTag: 'r',
      block1: { number, more, exponent: 5 },
      payload: body.slice(number * 512, (number + 1) * 512),
    });

  it('is one entry with its whole body, and its last block is known after a start', async () => {
    const { handler, called, release } = heldHandler('look');
    release('ok');
    const before = await startWired({ handlers: [handler] });
    expect(withoutId(await before.reply(block(0, true)))).toBe('ACK 2.31 "a"');
    const first = await before.reply(block(1, false));
    expect(withoutId(first)).toBe('ACK 2.04 "a" "ok"');
    const [entry] = onDisk(before.folder);
    expect(Buffer.from(entry?.command.request ?? []).includes(body)).toBe(true);
    before.database.close();
    const { reply } = await startWired({ folder: before.folder, handlers: [handler] });
    expect(await reply(block(1, false))).toEqual(first);
    expect(called).toEqual([{ text: 'y'.repeat(1000) }]);
  });
});
