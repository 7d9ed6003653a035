import { decode } from 'cborg';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { requestBytes, summary, withoutId } from '../../support/coap.js';
import { temporaryFolder } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { FROM_CARRIER } from '../../support/pipeline.js';
import { openTestJournal, standingClock } from './journal/support.js';
import { CONFIG, DIRECT, FORMATS, journalled, killedWhileRunning } from './recover-support.js';
import {
  asAfterKill,
  heldHandler,
  lookingHandler,
  onDisk,
  settled,
  skippableTime,
  startWired,
} from './wired-support.js';

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
    const { sent, receive, reply } = await startWired({ folder, config: CONFIG, handlers: [heldHandler().handler] });
    expect(sent.map(({ bytes, destination }) => [withoutId(bytes), destination])).toEqual([
      [expect.stringMatching(/^CON 5\.00 "a" interrupted: /), DIRECT],
    ]);
    vi.advanceTimersByTime(10_000);
    const transmissions = sent.length;
    // No more than a peer may get that has not shown that it receives: 200 bytes.
    expect(transmissions).toBe(2);
    expect(new Set(sent.map(({ bytes }) => bytes.toString('hex'))).size).toBe(1);
    const messageId = sent[0]?.bytes.subarray(2, 4) ?? Buffer.alloc(0);
    receive(Buffer.concat([Buffer.from([0x60, 0]), messageId]), DIRECT);
    vi.advanceTimersByTime(100_000);
    expect(sent).toHaveLength(transmissions);
    expect(sent.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeLessThanOrEqual(200);
    expect(summary(await reply(request, DIRECT))).toMatch(/^ACK 5\.00 #9 "a" interrupted: /);
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
    const skip = skippableTime();
    const { handler, called } = heldHandler('hold', true);
    let { folder, receive } = await startWired({ config: CONFIG, handlers: [handler] });
    receive(request);
    skip(1100);
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
      await before.database.close();
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
    await before.database.close();
    const { sent, counters } = await startWired({ folder, clock: standingClock().clock, config: CONFIG });
    expect(sent.map(({ bytes }) => JSON.parse(String(bytes)))).toEqual([{ jsonrpc: '2.0', id: 1, result: null }]);
    expect(counters.outcomes.done).toBe(1);
  });
});

it('what was wrong with a part of a batch is said again, whatever became of the rest', async () => {
  const folder = await killedWhileRunning('[7,{"id":2,"method":"hold"}]');
  const { sent } = await startWired({ folder, config: CONFIG });
  expect(sent.map(({ bytes }) => JSON.parse(String(bytes)))).toMatchObject([
    [
      { id: null, error: { code: -32600 } },
      { id: 2, error: { code: -32008 } },
    ],
  ]);
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
