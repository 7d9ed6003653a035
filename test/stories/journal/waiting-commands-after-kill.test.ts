import { describe, expect, it } from 'vitest';
import { defineHandler, z } from '../../../agent/index.js';
import { openTestJournal, standingClock } from '../../agent/command/journal/support.js';
import { CONFIG, FORMATS, journalled, killedWhileWaiting } from '../../agent/command/recover-support.js';
import {
  asAfterKill,
  heldHandler,
  lookingHandler,
  onDisk,
  settled,
  startWired,
} from '../../agent/command/wired-support.js';
import { temporaryFolder } from '../../support/files.js';

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
    expect(sent.map(({ bytes }) => JSON.parse(String(bytes)))).toMatchObject([{ error: { code: -32005 } }]);
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
    const handler = defineHandler({ name: 'hold', description: '', params: z.object({ n: z.number() }), run: () => 1 });
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
