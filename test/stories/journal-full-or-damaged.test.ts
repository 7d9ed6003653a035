import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defineHandler } from '../../agent/handlers/handler.js';
import { DATABASE_NAME } from '../../agent/storage/database.js';
import { connect } from '../../agent/storage/sqlite.js';
import { standingClock } from '../agent/command/journal/support.js';
import { heldHandler, lookingHandler, onDisk, settled, startWired } from '../agent/command/wired-support.js';
import { fill, smallDisk } from '../agent/storage/support.js';
import { requestBytes, withoutId } from '../support/coap.js';
import { recordingLog } from '../support/log.js';
import { needs } from '../support/needs.js';

const FORMATS: [format: string, request: (id: number) => Uint8Array | string, isBusy: RegExp][] = [
  ['text', (id) => `#${id} look`, /^#\d+ error busy /],
  ['json', (id) => JSON.stringify({ id, method: 'look' }), /-32002/],
  ['coap', (id) => requestBytes({ path: 'look', token: 'a', messageId: id }), /5\.03 "a" busy: /],
];
const read = (bytes: Buffer) => (bytes.readUInt8(0) === 0x61 ? withoutId(bytes) : bytes.toString());

describe('a full journal', () => {
  const limits = { keepMs: 0, entries: 2, bytes: 65_536 };

  it.each(FORMATS)('refuses what it is needed for as busy, and runs the rest: %s', async (_, request, isBusy) => {
    const { clock, pass } = standingClock();
    const { handler, seen } = lookingHandler('look', () => 1);
    const { reply, texts, receive } = await startWired({ handlers: [handler], clock, limits });
    await reply(request(1));
    await reply(request(2));
    expect(read(await reply(request(3)))).toMatch(isBusy);
    receive('#9 ping');
    expect(texts().at(-1)).toBe('#9 ok pong');
    // What is known is known as before.
    receive(request(1));
    expect(seen).toHaveLength(2);
    // Repeats of the gateway's may come for 365 s.
    pass(7 * 60_000);
    expect(read(await reply(request(4)))).toMatch(/ok/);
    expect(seen).toHaveLength(3);
  });

  it('of what runs refuses more, and takes them when there is room', async () => {
    const { clock, pass } = standingClock();
    const { handler, release, called } = heldHandler();
    const { receive, texts, folder } = await startWired({ handlers: [handler], clock, limits });
    for (const id of [1, 2, 3]) receive(`#${id} hold`);
    await settled();
    expect(texts()).toEqual([expect.stringMatching(/^#3 error busy /)]);
    expect(called).toHaveLength(2);
    release('x');
    await settled();
    pass(7 * 60_000);
    receive('#4 hold');
    await settled();
    expect(texts().at(-1)).toBe('#4 ok x');
    expect(onDisk(folder).map(({ command }) => command.id)).toContain('4');
  });

  it('refuses a batch whole', async () => {
    const { handler, called } = heldHandler();
    const { reply, receive } = await startWired({ handlers: [handler], limits });
    receive('#1 hold');
    receive('#2 hold');
    await settled();
    const batch = '[{"id":3,"method":"hold"},{"id":4,"method":"hold"}]';
    expect(JSON.parse(String(await reply(batch)))).toMatchObject([
      { id: 3, error: { code: -32002 } },
      { id: 4, error: { code: -32002 } },
    ]);
    expect(called).toHaveLength(2);
  });

  it('does not keep what takes long from its end', async () => {
    const slow = defineHandler({ name: 'slow', description: '', idempotent: true, run: () => wait(1300, 'at last') });
    const { handler } = heldHandler();
    const { reply, receive, folder } = await startWired({ handlers: [handler, slow], limits });
    receive('#1 hold');
    receive('#2 hold');
    await settled();
    expect(String(await reply('#3 slow'))).toBe('#3 ok at last');
    expect(onDisk(folder)).toHaveLength(2);
  });
});

const wait = <T>(ms: number, value: T) => new Promise<T>((resolve) => setTimeout(() => resolve(value), ms));

describe.skipIf(needs('root'))('a full disk', () => {
  it.each(FORMATS)(
    'makes what needs the journal busy, and nothing runs that is not on it: %s',
    async (_, request, isBusy) => {
      const folder = smallDisk(1024 * 1024);
      const { handler, seen } = lookingHandler('look', () => 1);
      const { reply, receive, texts } = await startWired({ folder, handlers: [handler] });
      await reply(request(1));
      fill(folder);
      // What is free in the file's own last pages is filled first.
      let id = 2;
      while (id < 2000 && !isBusy.test(read(await reply(request(id))))) id++;
      expect(id).toBeLessThan(2000);
      expect(seen).toHaveLength(id - 1);
      receive('#9999 ping');
      expect(texts().at(-1)).toBe('#9999 ok pong');
      expect(read(await reply(request(1)))).toMatch(/ok/);
      rmSync(join(folder, 'filler'));
      expect(read(await reply(request(5000)))).toMatch(/ok/);
      expect(seen).toHaveLength(id);
    },
  );

  it('does not keep the reply of what runs from leaving, and its end is written when there is room', async () => {
    const folder = smallDisk(1024 * 1024);
    const { handler, running, release } = heldHandler();
    const other = lookingHandler('look', () => 1, 'x'.repeat(1000));
    const { receive, reply, texts, journal } = await startWired({ folder, handlers: [handler, other.handler] });
    receive('#0 hold');
    await running;
    fill(folder);
    let id = 1;
    while (id < 2000 && !/busy/.test(String(await reply(`#${id} look`)))) id++;
    release('y'.repeat(1200));
    await settled();
    expect(texts().at(-1)).toMatch(/^#0 ok y/);
    receive('#0 hold');
    expect(texts().at(-1)).toMatch(/^#0 repeat ok y/);
    rmSync(join(folder, 'filler'));
    journal.maintain();
    await settled();
    expect(onDisk(folder)[0]).toMatchObject({ state: 'done', outcome: 'done' });
    expect(journal.size.live).toBe(0);
  });

  it('at the start leaves the journal unready, until it is asked again', async () => {
    const held = heldHandler();
    const before = await startWired({ handlers: [held.handler] });
    before.receive('#1 hold');
    await held.running;
    const state = readFileSync(join(before.folder, `${DATABASE_NAME}-wal`));
    const folder = smallDisk(512 * 1024);
    writeFileSync(join(folder, DATABASE_NAME), readFileSync(join(before.folder, DATABASE_NAME)));
    writeFileSync(join(folder, `${DATABASE_NAME}-wal`), state);
    fill(folder);
    const { log, withMessage } = recordingLog();
    const { handler, seen } = lookingHandler('look', () => 1);
    let now = 0;
    const started = await startWired({ folder, log, handlers: [handler], now: () => now });
    expect(started.recovered).toBe(false);
    expect(withMessage('the journal is not ready: commands that need it are refused')).toHaveLength(1);
    expect(String(await started.reply('#2 look'))).toMatch(/^#2 error busy /);
    expect(String(await started.reply('#1 hold'))).toMatch(/^#1 (repeat error running|error busy) /);
    rmSync(join(folder, 'filler'));
    now += 10_000;
    started.sent.length = 0;
    expect(started.recover()).toBe(true);
    expect(started.texts()).toEqual([expect.stringMatching(/^#1 error interrupted /)]);
    expect(String(await started.reply('#2 look'))).toBe('#2 ok ok');
    expect(seen).toHaveLength(1);
  });
});

describe('a database that is damaged while the agent runs', () => {
  /** Changes a record, as a failing disk does. */
  function damage(folder: string): void {
    const connection = connect(join(folder, DATABASE_NAME));
    connection.run('UPDATE command SET record = zeroblob(100) WHERE seq = 1');
    connection.close();
  }

  it('loses what has ended, but nothing that runs or waits; what this agent remembers does not run again', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const held = heldHandler();
    const config = { limits: { running: 1 } };
    const started = await startWired({ config, handlers: [handler, held.handler] });
    const { receive, texts, folder, reply, journal, database } = started;
    for (let id = 0; id < 20; id++) await reply(`#${id} look`);
    receive('#100 hold');
    await held.running;
    receive('#101 look');
    await settled();
    damage(folder);
    expect(journal.list({ limit: 100 }).map(({ command }) => command.id)).toEqual(['101', '100']);
    expect(database.damaged).toBe(1);
    for (let id = 0; id < 20; id++) receive(`#${id} look`);
    expect(texts().slice(-20)).toEqual(Array.from({ length: 20 }, (_, id) => `#${id} repeat ok ok`));
    held.release('x');
    await settled();
    expect(texts().slice(-2)).toEqual(['#100 ok x', '#101 ok ok']);
    database.close();
    const { reply: again } = await startWired({ folder, config, handlers: [handler, held.handler] });
    expect(String(await again('#100 hold'))).toBe('#100 repeat ok x');
    expect(String(await again('#101 look'))).toBe('#101 repeat ok ok');
    expect([seen.length, held.called.length]).toEqual([21, 1]);
  });
});

describe('a database that was closed', () => {
  it('makes what needs it busy, and the rest goes on', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { reply, texts, receive, database } = await startWired({ handlers: [handler] });
    database.close();
    expect(String(await reply('#1 look'))).toMatch(/^#1 error busy /);
    expect(String(await reply('look'))).toMatch(/^error busy /);
    expect(withoutId(await reply(requestBytes({ path: 'look', token: 'a' })))).toMatch(/^ACK 5\.03 "a" busy: /);
    expect(String(await reply('[{"id":1,"method":"ping"},{"id":2,"method":"look"}]'))).toMatch(/-32002.*-32002/);
    receive('#1 ping');
    expect(texts().at(-1)).toBe('#1 ok pong');
    expect(seen).toEqual([]);
  });
});
