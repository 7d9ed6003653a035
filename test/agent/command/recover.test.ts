import { decode, encode } from 'cborg';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { JournalCommand } from '../../../agent/command/journal-entry.js';
import { journalKey } from '../../../agent/command/journalled.js';
import { datagramKey } from '../../../agent/command/seen.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { requestBytes, summary, withoutId } from '../../support/coap.js';
import { temporaryFolder } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { FROM_CARRIER } from '../../support/pipeline.js';
import { openTestJournal, standingClock } from './journal-support.js';
import {
  asAfterKill,
  heldHandler,
  lookingHandler,
  onDisk,
  settled,
  startWired,
  type WiredSetup,
} from './wired-support.js';

const DIRECT = { address: '192.168.1.5', port: 40_000 };
const CONFIG = {
  allow: ['192.168.0.0/16', '100.64.0.0/10'],
  listen: { ports: [6969, { port: 7000, format: 'raw' as const, handler: 'hold' }] },
};
const FORMATS: [format: string, request: Uint8Array | string][] = [
  ['text', '#1 hold'],
  ['json', '{"id":1,"method":"hold"}'],
  ['cbor', encode({ id: 1, method: 'hold' })],
  ['coap', requestBytes({ path: 'hold', token: 'a', messageId: 9 })],
];

/** A command that runs, and the state folder as a kill leaves it then. */
async function killedWhileRunning(
  request: Uint8Array | string,
  { source = FROM_CARRIER, ...setup }: WiredSetup & { source?: typeof FROM_CARRIER } = {},
) {
  const { handler, running } = heldHandler();
  const { receive, folder } = await startWired({ config: CONFIG, handlers: [handler], ...setup });
  receive(request, source);
  await running;
  return asAfterKill(folder);
}

/** A command that waits for a place, and the state folder as a kill leaves it then. */
async function killedWhileWaiting(request: Uint8Array | string, setup: WiredSetup = {}) {
  const first = heldHandler('first');
  const { handler } = heldHandler();
  const { receive, folder } = await startWired({
    handlers: [first.handler, handler],
    ...setup,
    config: { ...CONFIG, limits: { running: 1 } },
  });
  receive('{"method":"first"}');
  await first.running;
  receive(request);
  await settled();
  return asAfterKill(folder);
}

describe('a command that was running when the agent was killed', () => {
  it.each([
    ['text', FORMATS[0]?.[1] ?? '', String, /^#1 error interrupted /, /^#1 repeat error interrupted /],
    ['json', FORMATS[1]?.[1] ?? '', String, /"id":1.*-32008/, /"id":1.*-32008.*"repeat":true/],
    [
      'cbor',
      FORMATS[2]?.[1] ?? '',
      (bytes: Buffer) => JSON.stringify(decode(bytes)),
      /"id":1.*-32008/,
      /"repeat":true/,
    ],
    ['coap', FORMATS[3]?.[1] ?? '', summary, /^NON 5\.00 #\d+ "a" interrupted: /, /^ACK 5\.00 #9 "a" interrupted: /],
  ])('is reported as interrupted, to a repeat too, and does not run: %s', async (_, request, read, report, repeat) => {
    const folder = await killedWhileRunning(request);
    const { handler, called } = heldHandler();
    const { sent, reply, counters } = await startWired({ folder, config: CONFIG, handlers: [handler] });
    expect(sent.map(({ bytes, destination, port }) => [read(bytes), destination, port])).toEqual([
      [expect.stringMatching(report), FROM_CARRIER, 6969],
    ]);
    expect(read(await reply(request))).toMatch(repeat);
    expect(called).toEqual([]);
    expect(counters.outcomes.interrupted).toBe(1);
    expect(onDisk(folder)).toMatchObject([
      { state: 'interrupted', outcome: 'interrupted', code: 'interrupted', runs: 1 },
    ]);
  });

  it('is reported once only', async () => {
    const folder = await killedWhileRunning('#1 hold');
    const first = await startWired({ folder, config: CONFIG });
    expect(first.sent).toHaveLength(1);
    const second = await startWired({ folder: asAfterKill(folder), config: CONFIG });
    expect(second.sent).toEqual([]);
  });

  it('is reported to a CoAP client on the network until that acknowledges it', async () => {
    const request = requestBytes({ path: 'hold', token: 'a', messageId: 9 });
    const folder = await killedWhileRunning(request, { source: DIRECT });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { sent, receive } = await startWired({ folder, config: CONFIG, handlers: [heldHandler().handler] });
    expect(sent.map(({ bytes, destination }) => [withoutId(bytes), destination])).toEqual([
      [expect.stringMatching(/^CON 5\.00 "a" interrupted: /), DIRECT],
    ]);
    vi.advanceTimersByTime(10_000);
    const transmissions = sent.length;
    expect(transmissions).toBeGreaterThanOrEqual(3);
    expect(new Set(sent.map(({ bytes }) => bytes.toString('hex'))).size).toBe(1);
    const messageId = sent[0]?.bytes.subarray(2, 4) ?? Buffer.alloc(0);
    receive(Buffer.concat([Buffer.from([0x60, 0]), messageId]), DIRECT);
    vi.advanceTimersByTime(100_000);
    expect(sent).toHaveLength(transmissions);
    receive(request, DIRECT);
    expect(summary(sent.at(-1)?.bytes ?? Buffer.alloc(0))).toMatch(/^ACK 5\.00 #9 "a" interrupted: /);
  });

  it('is reported once to a CoAP client that asked non-confirmably', async () => {
    const request = requestBytes({ type: 'NON', path: 'hold', token: 'a' });
    const folder = await killedWhileRunning(request, { source: DIRECT });
    const { sent } = await startWired({ folder, config: CONFIG });
    expect(sent.map(({ bytes }) => withoutId(bytes))).toEqual([expect.stringMatching(/^NON 5\.00 "a" interrupted: /)]);
  });

  it('and wanted no reply is reported to the log only', async () => {
    for (const request of ['{"method":"hold"}', '[{"method":"hold"}]']) {
      const folder = await killedWhileRunning(request);
      const { log, withMessage } = recordingLog();
      const { sent, counters } = await startWired({ folder, config: CONFIG, log });
      expect(sent).toEqual([]);
      expect(counters.outcomes.interrupted).toBe(1);
      expect(withMessage('command').map(({ details }) => details['code'])).toEqual(['interrupted']);
    }
  });

  it('on a raw port is reported to the log only', async () => {
    const { handler, running } = heldHandler();
    const before = await startWired({ config: CONFIG, handlers: [handler] });
    before.receive('x', FROM_CARRIER, 7000);
    await running;
    const { sent, counters } = await startWired({ folder: asAfterKill(before.folder), config: CONFIG });
    expect(sent).toEqual([]);
    expect(counters.outcomes.interrupted).toBe(1);
  });

  it('as one of a batch has all of it reported as interrupted', async () => {
    const batch = '[{"id":1,"method":"ping"},{"id":2,"method":"hold"},{"method":"hold"}]';
    const folder = await killedWhileRunning(batch);
    const { sent } = await startWired({ folder, config: CONFIG });
    expect(sent.map(({ bytes }) => JSON.parse(String(bytes)))).toMatchObject([
      [
        { id: 1, error: { code: -32008 } },
        { id: 2, error: { code: -32008 } },
      ],
    ]);
  });

  it.each(FORMATS)('and may run twice, runs again once, then is interrupted: %s', async (_, request) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const { handler, called } = heldHandler('hold', true);
    let { folder, receive } = await startWired({ config: CONFIG, handlers: [handler] });
    receive(request);
    vi.advanceTimersByTime(1100);
    await settled();
    folder = asAfterKill(folder);
    const second = await startWired({ folder, config: CONFIG, handlers: [handler] });
    await settled();
    expect(called).toHaveLength(2);
    expect(second.sent).toEqual([]);
    expect(onDisk(folder)).toMatchObject([{ state: 'started', runs: 2 }]);
    const third = await startWired({ folder: asAfterKill(folder), config: CONFIG, handlers: [handler] });
    await settled();
    expect(called).toHaveLength(2);
    expect(third.counters.outcomes.interrupted).toBe(1);
    expect(third.sent).toHaveLength(1);
  });
});

describe('a command that was waiting when the agent was killed', () => {
  it.each(FORMATS)('runs, and is answered, and known: %s', async (_, request) => {
    const folder = await killedWhileWaiting(request);
    const { handler, called, running, release } = heldHandler();
    const { sent, receive } = await startWired({ folder, config: CONFIG, handlers: [handler] });
    await running;
    receive(request);
    release('at last');
    await settled();
    const reply = sent.at(-1)?.bytes ?? Buffer.alloc(0);
    expect(reply.toString()).toContain('at last');
    receive(request);
    expect(called).toHaveLength(1);
    expect(onDisk(folder).find(({ command }) => command.name === 'hold')).toMatchObject({ state: 'done', runs: 1 });
  });

  it.each(FORMATS)('5 minutes ago is refused as expired: %s', async (_, request) => {
    const { clock, pass } = standingClock();
    const folder = await killedWhileWaiting(request, { clock });
    pass(5 * 60_000);
    const { handler, called } = heldHandler();
    const { sent } = await startWired({ folder, clock, config: CONFIG, handlers: [handler] });
    await settled();
    expect(called).toEqual([]);
    expect(sent).toHaveLength(1);
    expect(onDisk(folder)[1]).toMatchObject({ state: 'refused', outcome: 'refused', code: 'expired', runs: 0 });
  });

  it('runs before its deadline, and not after it', async () => {
    const { clock, pass } = standingClock({ wall: Date.now(), monotonic: 50_000, boot: 'first' });
    const deadline = Math.floor(Date.now() / 1000) + 3600;
    const request = JSON.stringify({ id: 1, method: 'hold', deadline });
    const folder = await killedWhileWaiting(request, { clock });
    const later = asAfterKill(folder);
    const { handler, called } = heldHandler();
    pass(3_000_000);
    await startWired({ folder, clock, config: CONFIG, handlers: [handler] });
    await settled();
    expect(called).toHaveLength(1);
    pass(700_000);
    const { sent } = await startWired({ folder: later, clock, config: CONFIG, handlers: [handler] });
    expect(sent.map(({ bytes }) => JSON.parse(String(bytes)))).toMatchObject(
      [{}, { error: { code: -32005 } }].slice(1),
    );
    expect(called).toHaveLength(1);
  });

  it.each([
    ['back, in the same boot, does not prolong its time', { wall: 0 }, 5 * 60_000, 'refused'],
    ['back, in the same boot, does not end it', { wall: 0 }, 60_000, 'done'],
    ['ahead, in the same boot, does not end it', { wall: 9e12 }, 60_000, 'done'],
    ['back, at a boot, ends it', { wall: 1_700_000_000_000, monotonic: 5000, boot: 'second' }, 0, 'refused'],
    ['ahead, at a boot, ends it', { wall: 1_900_000_000_000, monotonic: 5000, boot: 'second' }, 0, 'refused'],
    ['right, at a boot, does not end it', { wall: 1_800_000_060_000, monotonic: 5000, boot: 'second' }, 0, 'done'],
  ])('a clock that was set %s', async (_, change, passed, becomes) => {
    const { clock, pass, set } = standingClock();
    const folder = await killedWhileWaiting('#1 hold', { clock });
    pass(passed);
    set(change);
    const { handler } = lookingHandler('hold', () => 1);
    await startWired({ folder, clock, config: CONFIG, handlers: [handler] });
    await settled();
    expect(onDisk(folder)[1]).toMatchObject({ state: becomes });
  });

  it.each(FORMATS)('whose handler is gone is refused as unknown: %s', async (_, request) => {
    const folder = await killedWhileWaiting(request);
    const { sent, journal } = await startWired({ folder, config: CONFIG });
    await settled();
    // The other was running, and wanted no reply.
    expect(sent).toHaveLength(1);
    expect(onDisk(folder)[1]).toMatchObject({ state: 'refused', outcome: 'refused', code: 'unknown-command', runs: 0 });
    expect(journal.size.live).toBe(0);
  });

  it('whose handler takes other parameters now is refused', async () => {
    const folder = await killedWhileWaiting('#1 hold a b c');
    const { defineHandler: define, z } = await import('../../../agent/index.js');
    const handler = define({ name: 'hold', description: '', params: z.object({ n: z.number() }), run: () => 1 });
    const { texts, journal } = await startWired({ folder, config: CONFIG, handlers: [handler] });
    await settled();
    expect(texts()).toEqual([expect.stringMatching(/^#1 error bad-params /)]);
    expect(onDisk(folder)[1]).toMatchObject({ state: 'refused', code: 'bad-params' });
    expect(journal.size.live).toBe(0);
  });

  it('that may run twice by now runs', async () => {
    const folder = await killedWhileWaiting('#1 hold');
    const handler = defineHandler({ name: 'hold', description: '', safe: true, run: () => 'ok' });
    const { texts } = await startWired({ folder, config: CONFIG, handlers: [handler] });
    await settled();
    expect(texts()).toEqual(['#1 ok ok']);
    expect(onDisk(folder)[1]).toMatchObject({ state: 'done', runs: 1 });
  });

  it('as one of many runs in the order in which they came, so many at once', async () => {
    const folder = temporaryFolder();
    const before = await openTestJournal(folder, undefined);
    for (let id = 0; id < 40; id++) before.journal.accept(journalled(`#${id} hold`), () => undefined);
    before.database.close();
    const order: unknown[] = [];
    const handler = defineHandler({
      name: 'hold',
      description: '',
      async run(_, { command }) {
        order.push(command.id);
      },
    });
    const clock = standingClock().clock;
    const { texts } = await startWired({
      folder,
      clock,
      config: { ...CONFIG, limits: { running: 2 } },
      handlers: [handler],
    });
    for (let turn = 0; turn < 30; turn++) await settled();
    expect(order).toEqual(Array.from({ length: 40 }, (_, id) => String(id)));
    expect(texts()).toEqual(order.map((id) => `#${id} ok`));
  });
});

/** A command of the journal, from the carrier. */
function journalled(request: string | Uint8Array, change: Partial<JournalCommand> = {}): JournalCommand {
  const bytes = Buffer.from(request);
  return {
    key: journalKey(datagramKey('gateway', bytes)),
    peer: 'gateway',
    name: 'hold',
    format: 'text',
    request: bytes,
    source: FROM_CARRIER,
    port: 6969,
    transport: 'fake',
    idempotent: false,
    deadline: null,
    lifetimeMs: 1000,
    ...change,
  };
}

describe('an entry whose request cannot be read any more', () => {
  it.each([
    ['text', Buffer.from([0xff, 0xfe])],
    ['json', Buffer.from('hello')],
    ['coap', Buffer.from([0x41])],
  ] as const)('is ended, and the others go on: %s', async (format, bytes) => {
    for (const wasStarted of [false, true]) {
      const folder = temporaryFolder();
      const before = await openTestJournal(folder);
      const unreadable = journalled(bytes, { format });
      before.journal.accept(unreadable, () => undefined);
      if (wasStarted) before.journal.start(unreadable.key, () => undefined);
      before.journal.accept(journalled('#2 hold'), () => undefined);
      before.database.close();
      const { log, lines } = recordingLog();
      const { handler } = lookingHandler('hold', () => 1);
      const clock = standingClock().clock;
      const { texts, journal, counters } = await startWired({
        folder,
        clock,
        log,
        config: CONFIG,
        handlers: [handler],
      });
      await settled();
      expect(texts()).toEqual(['#2 ok ok']);
      expect(counters.strayReplies).toBe(0);
      expect(lines.some(({ level }) => level === 'error')).toBe(true);
      expect(onDisk(folder).map(({ state }) => state)).toEqual([wasStarted ? 'interrupted' : 'refused', 'done']);
      expect(journal.size.live).toBe(0);
    }
  });
});

describe('a command that ends the agent', () => {
  const restart = journalled('{"id":1,"method":"restart"}', { name: 'restart', format: 'json' });

  it('is done when the agent runs again', async () => {
    const folder = temporaryFolder();
    const before = await openTestJournal(folder);
    before.journal.accept({ ...restart, endsWith: 'process' }, () => undefined);
    before.journal.start(restart.key, () => undefined);
    before.database.close();
    const { sent, counters } = await startWired({ folder, clock: standingClock().clock, config: CONFIG });
    expect(sent.map(({ bytes }) => JSON.parse(String(bytes)))).toEqual([{ jsonrpc: '2.0', id: 1, result: null }]);
    expect(counters.outcomes.done).toBe(1);
  });
});

it('a folder of nothing but ended commands is quiet', async () => {
  const { handler } = lookingHandler('hold', () => 1);
  const before = await startWired({ config: CONFIG, handlers: [handler] });
  await before.reply('#1 hold');
  before.database.close();
  const { log, lines } = recordingLog();
  const { sent, recovered } = await startWired({ folder: before.folder, config: CONFIG, log });
  expect([sent, lines, recovered]).toEqual([[], [], true]);
});
