import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { ping } from '../../../../agent/handlers/builtin/ping.js';
import { defineHandler } from '../../../../agent/handlers/handler.js';
import { requestBytes, withoutId } from '../../../support/coap.js';
import { temporaryFolder } from '../../../support/files.js';
import { FROM_CARRIER } from '../../../support/pipeline.js';
import { heldHandler, lookingHandler, onDisk, settled, skippableTime, startWired } from '../wired-support.js';

const CONFIG = { listen: { ports: [6969, { port: 7000, format: 'raw' as const, handler: 'look' }] } };
const FORMATS: [format: string, request: Uint8Array | string, port: number, answer: (reply: Buffer) => unknown][] = [
  ['text', '#1 look', 6969, String],
  ['json', '{"id":1,"method":"look"}', 6969, (reply) => JSON.parse(String(reply)).result],
  ['cbor', encode({ id: 1, method: 'look' }), 6969, (reply) => decode(reply).result],
  ['coap', requestBytes({ path: 'look', token: 'a' }), 6969, withoutId],
  ['raw', 'anything', 7000, String],
];
const ANSWERS: Record<string, string> = {
  text: '#1 ok ok',
  json: 'ok',
  cbor: 'ok',
  coap: 'ACK 2.04 "a" ok',
  raw: 'ok',
};

describe('a command that must not run twice', () => {
  it.each(FORMATS)(
    'in %s is on the disk as started when it runs, and as ended when its reply leaves',
    async (format, request, port, answer) => {
      const folder = temporaryFolder();
      const statesNow = () => onDisk(folder).map(({ state, runs }) => ({ state, runs }));
      const { handler, seen } = lookingHandler('look', statesNow);
      const atReply: unknown[] = [];
      const sendError = () => void atReply.push(statesNow());
      const { reply } = await startWired({ folder, handlers: [handler], config: CONFIG, sendError });
      const sent = await reply(request, FROM_CARRIER, port);
      expect(answer(sent)).toBe(ANSWERS[format]);
      expect(seen).toEqual([[{ state: 'started', runs: 1 }]]);
      expect(atReply).toEqual([[{ state: 'done', runs: 1 }]]);
      const [entry] = onDisk(folder);
      expect(entry).toMatchObject({ outcome: 'done', code: null, reply: sent });
      expect(entry?.command).toMatchObject({
        name: 'look',
        format,
        peer: 'gateway',
        source: FROM_CARRIER,
        port,
        transport: 'fake',
        idempotent: false,
        deadline: null,
        request: Buffer.from(request),
      });
    },
  );

  it.each(FORMATS)('in %s is on the disk as accepted while it waits for a place', async (_, request, port) => {
    const held = heldHandler();
    const { handler, seen } = lookingHandler('look', () => 1);
    const { folder, receive } = await startWired({
      handlers: [held.handler, handler],
      config: { ...CONFIG, limits: { running: 1 } },
    });
    receive('#0 hold');
    await held.running;
    receive(request, FROM_CARRIER, port);
    await settled();
    expect(onDisk(folder).map(({ state, runs }) => [state, runs])).toEqual([
      ['started', 1],
      ['accepted', 0],
    ]);
    expect(seen).toEqual([]);
    held.release('x');
    await settled();
    expect(onDisk(folder).map(({ state }) => state)).toEqual(['done', 'done']);
    expect(seen).toEqual([1]);
  });

  it.each([
    ['fails', 'failed', 'handler-failed', () => Promise.reject(new Error('broken'))],
    ['throws', 'failed', 'handler-failed', () => JSON.parse('{')],
    ['returns what cannot be written', 'failed', 'bad-reply', () => () => 1],
  ])('and %s has that in its entry', async (_, outcome, code, run) => {
    const handler = defineHandler({ name: 'bad', description: '', run });
    const { folder, reply } = await startWired({ handlers: [handler] });
    await reply('{"id":1,"method":"bad"}');
    expect(onDisk(folder)).toMatchObject([{ state: 'done', outcome, code }]);
    await reply(requestBytes({ path: 'bad', token: 'b' }));
    expect(onDisk(folder)[1]).toMatchObject({ state: 'done', outcome, code });
  });

  it('has its deadline and its id in its entry', async () => {
    const { handler } = lookingHandler('look', () => 1);
    const { folder, reply } = await startWired({ handlers: [handler] });
    const deadline = Math.ceil(Date.now() / 1000) + 60;
    await reply(JSON.stringify({ id: 'x', method: 'look', deadline }));
    expect(onDisk(folder).map(({ command }) => [command.id, command.deadline])).toEqual([['x', deadline * 1000]]);
  });

  it('is not written when nothing of it can run', async () => {
    const { handler } = lookingHandler('look', () => 1);
    const { folder, answers } = await startWired({ handlers: [handler] });
    answers('#1 nothing');
    answers('{"id":1,"method":"look","params":5}');
    answers(JSON.stringify({ id: 1, method: 'look', deadline: 1 }));
    answers(requestBytes({ path: 'look', method: '0.01' }));
    await settled();
    expect(onDisk(folder).filter(({ state }) => state !== 'refused')).toEqual([]);
  });
});

describe('a command that may run twice', () => {
  it.each(FORMATS)('in %s is not written', async (_, request, port) => {
    const { folder, answers, journal } = await startWired({
      handlers: [defineHandler({ ...ping, name: 'look' })],
      config: CONFIG,
    });
    expect(answers(request, FROM_CARRIER, port)).toHaveLength(1);
    await settled();
    expect(onDisk(folder)).toEqual([]);
    expect(journal.size).toEqual({ entries: 0, bytes: 0, live: 0, remembered: 0 });
  });

  it.each(FORMATS)('in %s is written when it has run for a second', async (format, request, port, answer) => {
    const skip = skippableTime();
    const held = heldHandler('look', true);
    const { folder, receive, sent } = await startWired({ handlers: [held.handler], config: CONFIG });
    receive(request, FROM_CARRIER, port);
    skip(900);
    await settled();
    expect(onDisk(folder)).toEqual([]);
    skip(200);
    await settled();
    expect(onDisk(folder)).toMatchObject([{ state: 'started', runs: 1, command: { idempotent: true, format } }]);
    held.release('ok');
    await settled();
    expect(onDisk(folder)).toMatchObject([{ state: 'done', outcome: 'done' }]);
    expect(sent.map(({ bytes }) => answer(bytes))).toEqual([ANSWERS[format]]);
  });

  it('is not written however long it runs when it changes nothing', async () => {
    const skip = skippableTime();
    const held = heldHandler('look', true);
    const { folder, receive } = await startWired({ handlers: [{ ...held.handler, safe: true }] });
    receive('#1 look');
    receive(requestBytes({ path: 'look', method: '0.01' }));
    skip(20_000);
    await settled();
    expect(held.called).toHaveLength(2);
    expect(onDisk(folder)).toEqual([]);
  });
});

describe('a batch', () => {
  const look = (folder: string) =>
    lookingHandler('look', () => onDisk(folder).map(({ state, command }) => `${state} ${command.name}`));

  it('is one entry, on the disk before any of it runs', async () => {
    const folder = temporaryFolder();
    const { handler, seen } = look(folder);
    const other = lookingHandler('other', () => onDisk(folder).length);
    const { reply } = await startWired({ folder, handlers: [handler, other.handler] });
    const batch = [
      { id: 1, method: 'look' },
      { id: 2, method: 'other' },
      { id: 3, method: 'look' },
    ];
    expect(JSON.parse(String(await reply(JSON.stringify(batch))))).toMatchObject([
      { id: 1, result: 'ok' },
      { id: 2, result: 'ok' },
      { id: 3, result: 'ok' },
    ]);
    expect(seen).toEqual(Array(2).fill(['started look other look']));
    expect(other.seen).toEqual([1]);
    expect(onDisk(folder)).toMatchObject([{ state: 'done', outcome: 'done', runs: 1 }]);
  });

  it('of which some may run twice is written as if none may, and answered whole', async () => {
    const folder = temporaryFolder();
    const { handler, seen } = look(folder);
    const { reply } = await startWired({ folder, handlers: [handler] });
    const batch = [{ id: 1, method: 'ping' }, { method: 'look' }, { id: 3, method: 'nothing' }, 7];
    expect(JSON.parse(String(await reply(JSON.stringify(batch))))).toMatchObject([
      { id: 3, error: { code: -32601 } },
      { id: null, error: { code: -32600 } },
      { id: 1, result: 'pong' },
    ]);
    expect(seen).toEqual([['started ping look nothing']]);
    expect(onDisk(folder)).toMatchObject([{ state: 'done', outcome: 'done', command: { idempotent: false } }]);
  });

  it('whose commands wait for the same place runs them one after the other, and is started once', async () => {
    const folder = temporaryFolder();
    const { handler } = look(folder);
    const { reply } = await startWired({ folder, handlers: [handler], config: { limits: { running: 1 } } });
    const batch = [1, 2, 3].map((id) => ({ id, method: 'look' }));
    expect(JSON.parse(String(await reply(JSON.stringify(batch))))).toHaveLength(3);
    expect(onDisk(folder)).toMatchObject([{ state: 'done', runs: 1 }]);
  });

  it('has the worst of its ends in its entry', async () => {
    const handlers = [
      lookingHandler('look', () => 1).handler,
      defineHandler({ name: 'bad', description: '', run: () => JSON.parse('{') }),
    ];
    const { folder, reply } = await startWired({ handlers });
    await reply('[{"id":1,"method":"look"},{"id":2,"method":"bad"},{"id":3,"method":"nothing"}]');
    expect(onDisk(folder)).toMatchObject([{ outcome: 'failed', code: 'handler-failed' }]);
  });

  it('of commands that take their time is answered once', async () => {
    const handler = defineHandler({ name: 'a', description: '', run: async () => 1 });
    const { folder, reply, sent } = await startWired({ handlers: [handler] });
    const batch = Array.from({ length: 15 }, (_, id) => ({ id, method: 'a' }));
    expect(decode(await reply(encode(batch)))).toHaveLength(15);
    expect(sent).toHaveLength(1);
    expect(onDisk(folder)).toHaveLength(1);
  });
});

describe('a command without an id', () => {
  it.each([
    ['text', 'look'],
    ['json', '{"method":"look"}'],
  ])('in %s runs each time that it comes, each time with an entry of its own', async (_, request) => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { folder, receive } = await startWired({ handlers: [handler] });
    for (let time = 0; time < 3; time++) receive(request);
    await settled();
    expect(seen).toHaveLength(3);
    const entries = onDisk(folder);
    expect(entries.map(({ state, command }) => [state, command.id])).toEqual(Array(3).fill(['done', undefined]));
    expect(new Set(entries.map(({ command }) => Buffer.from(command.key).toString('hex'))).size).toBe(3);
  });
});
