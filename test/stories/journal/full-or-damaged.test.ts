import { copyFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { DATABASE_NAME } from '../../../agent/storage/folder.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { standingClock } from '../../agent/command/journal/support.js';
import {
  asAfterKill,
  heldHandler,
  lookingHandler,
  onDisk,
  settled,
  startWired,
} from '../../agent/command/wired-support.js';
import { changeInPlace, fill, smallDisk } from '../../agent/storage/support.js';
import { requestBytes, withoutId } from '../../support/coap.js';
import { recordingLog } from '../../support/log.js';
import { needs } from '../../support/needs.js';

type Request = (id: number) => Uint8Array | string;

const text: Request = (id) => `#${id} look`;
const json: Request = (id) => JSON.stringify({ id, method: 'look' });
const coap: Request = (id) => requestBytes({ path: 'look', token: 'a', messageId: id });

/** A response, with the options that have no value. */
function withMarks(bytes: Buffer): string {
  const { options } = parseMessage(bytes);
  const marks = (['forgotten', 'unrecorded'] as const).filter((name) =>
    options.some(({ number }) => number === OPTION[name]),
  );
  return [withoutId(bytes), ...marks].join(' ');
}

const read = (bytes: Buffer) => (bytes.readUInt8(0) === 0x61 ? withMarks(bytes) : bytes.toString());

/** How each format says that a command was refused, and that this could not be recorded. */
const FORMATS: [format: string, request: Request, isBusy: RegExp][] = [
  ['text', text, /^#\d+ unrecorded error busy /],
  ['json', json, /-32002.*"recorded":false/],
  ['coap', coap, /5\.03 "a" busy: .* unrecorded$/],
];
/** How it says that a command is done, and that its result is not kept any more. */
const FORGOTTEN: Record<string, RegExp> = {
  text: /^#1 repeat forgotten ok$/,
  json: /"id":1,"result":null.*"forgotten":true/,
  coap: /^ACK 2\.04 "a" forgotten$/,
};

describe('a full journal', () => {
  const limits = { keepMs: 0, entries: 2, bytes: 65_536, identities: 1 };

  it.each(FORMATS)(
    'forgets results, then refuses what it is needed for as busy, and runs the rest: %s',
    async (format, request, isBusy) => {
      const { clock, pass } = standingClock();
      const { handler, seen } = lookingHandler('look', () => 1);
      const { reply, texts, receive } = await startWired({ handlers: [handler], clock, limits });
      for (const id of [1, 2, 3]) expect(read(await reply(request(id)))).toMatch(/ok/);
      expect(read(await reply(request(4)))).toMatch(isBusy);
      receive('#9 ping');
      expect(texts().at(-1)).toBe('#9 ok pong');
      // What is known is known as before.
      expect(read(await reply(request(1)))).toMatch(FORGOTTEN[format] ?? '');
      expect(seen).toHaveLength(3);
      // Repeats of the gateway's may come for 365 s.
      pass(7 * 60_000);
      expect(read(await reply(request(4)))).toMatch(/ok/);
      expect(seen).toHaveLength(4);
    },
  );

  it('of what runs refuses more, and takes them when there is room', async () => {
    const { handler, release, called } = heldHandler();
    const { receive, texts, journal } = await startWired({
      handlers: [handler],
      limits: { ...limits, identities: 100 },
    });
    for (const id of [1, 2, 3]) receive(`#${id} hold`);
    await settled();
    expect(texts()).toEqual([expect.stringMatching(/^#3 unrecorded error busy /)]);
    expect(called).toHaveLength(2);
    release('x');
    await settled();
    // What was not recorded may be tried again.
    for (const id of [3, 4]) receive(`#${id} hold`);
    await settled();
    expect(texts().slice(-2).sort()).toEqual(['#3 ok x', '#4 ok x']);
    expect(called).toHaveLength(4);
    expect(journal.size).toMatchObject({ live: 0, remembered: 4 });
  });

  it('refuses a batch whole', async () => {
    const { handler, called } = heldHandler();
    const { reply, receive } = await startWired({ handlers: [handler], limits });
    receive('#1 hold');
    receive('#2 hold');
    await settled();
    const batch = '[{"id":3,"method":"hold"},{"id":4,"method":"hold"}]';
    expect(JSON.parse(String(await reply(batch)))).toMatchObject([
      { id: 3, error: { code: -32002, data: { recorded: false } } },
      { id: 4, error: { code: -32002, data: { recorded: false } } },
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

describe('a refusal for want of places', () => {
  it('is recorded: its repeats get the same, also after a restart, and it never runs', async () => {
    const held = heldHandler();
    const { handler, seen } = lookingHandler('look', () => 1);
    const config = { limits: { running: 1, waiting: 0 } };
    const { receive, texts, reply, folder } = await startWired({ handlers: [held.handler, handler], config });
    receive('#1 hold');
    await held.running;
    const refusal = String(await reply('#2 look'));
    expect(refusal).toMatch(/^#2 error busy /);
    held.release('x');
    await settled();
    expect(texts().at(-1)).toBe('#1 ok x');
    expect(String(await reply('#2 look'))).toBe(refusal.replace('#2 ', '#2 repeat '));
    const after = await startWired({ folder: asAfterKill(folder), handlers: [held.handler, handler], config });
    expect(String(await after.reply('#2 look'))).toBe(refusal.replace('#2 ', '#2 repeat '));
    expect(seen).toEqual([]);
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
    expect(String(await reply('#0 hold'))).toMatch(/^#0 repeat ok y/);
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
    const folder = smallDisk(512 * 1024);
    const state = asAfterKill(before.folder);
    for (const name of readdirSync(state)) copyFileSync(join(state, name), join(folder, name));
    fill(folder);
    const { log, withMessage } = recordingLog();
    const { handler, seen } = lookingHandler('look', () => 1);
    const started = await startWired({ folder, log, handlers: [handler] });
    expect(started.recovered).toBe(false);
    expect(withMessage('the journal is not ready: commands that need it are refused')).toHaveLength(1);
    expect(String(await started.reply('#2 look'))).toMatch(/^#2 unrecorded error busy /);
    expect(String(await started.reply('#1 hold'))).toMatch(/^#1 repeat error interrupted /);
    rmSync(join(folder, 'filler'));
    started.sent.length = 0;
    expect(await started.recover()).toBe(true);
    expect(started.texts()).toEqual([expect.stringMatching(/^#1 error interrupted /)]);
    expect(String(await started.reply('#2 look'))).toBe('#2 ok ok');
    expect(seen).toHaveLength(1);
  });
});

describe('a database that is damaged while the agent runs', () => {
  it('loses results, but no outcome of this agent, and nothing that runs or waits', async () => {
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
    await database.read('PRAGMA wal_checkpoint(TRUNCATE)');
    changeInPlace(join(folder, DATABASE_NAME), '#7 look', '#8 look');
    // Cached pages are not affected.
    await database.read('PRAGMA shrink_memory');
    expect((await journal.list({ limit: 100 })).map(({ command }) => command.id)).toEqual(['101', '100']);
    expect(database.status).toMatchObject({ damaged: 1, lost: 1 });
    for (let id = 0; id < 20; id++) expect(String(await reply(`#${id} look`))).toBe(`#${id} repeat forgotten ok`);
    held.release('x');
    await settled();
    expect(texts().slice(-2)).toEqual(['#100 ok x', '#101 ok ok']);
    await database.close();
    const { reply: again } = await startWired({ folder, config, handlers: [handler, held.handler] });
    expect(String(await again('#100 hold'))).toBe('#100 repeat ok x');
    expect(String(await again('#101 look'))).toBe('#101 repeat ok ok');
    expect(String(await again('#7 look'))).toBe('#7 repeat forgotten ok');
    expect([seen.length, held.called.length]).toEqual([21, 1]);
  });
});

describe('a database that was closed', () => {
  it('makes what needs it busy, and the rest goes on', async () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { reply, texts, receive, database } = await startWired({ handlers: [handler] });
    await database.close();
    expect(String(await reply('#1 look'))).toMatch(/^#1 unrecorded error busy /);
    expect(String(await reply('look'))).toMatch(/^error busy /);
    expect(withoutId(await reply(requestBytes({ path: 'look', token: 'a' })))).toMatch(/^ACK 5\.03 "a" busy: /);
    expect(String(await reply('[{"id":1,"method":"ping"},{"id":2,"method":"look"}]'))).toMatch(/-32002.*-32002/);
    receive('#1 ping');
    expect(texts().at(-1)).toBe('#1 ok pong');
    expect(seen).toEqual([]);
  });
});
