import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../../../agent/base/moment.js';
import { createDelivery, type Outgoing } from '../../../../agent/command/outbox/delivery.js';
import { openOutbox } from '../../../../agent/command/outbox/outbox.js';
import { OUTBOX_LIMITS, type OutboxLimits } from '../../../../agent/command/outbox/policy.js';
import type { Rates } from '../../../../agent/command/peers/rates.js';
import { createStats } from '../../../../agent/command/stats/stats.js';
import { formatEndpoint } from '../../../../agent/transport/endpoint.js';
import { onlyLink, type Transport } from '../../../../agent/transport/transport.js';
import { temporaryFolder } from '../../../support/files.js';
import { recordingLog } from '../../../support/log.js';
import { openTestDatabase } from '../journal/support.js';
import { settled } from '../wired-support.js';

const GATEWAY = { address: '100.64.0.1', port: 6969 };
const NEIGHBOUR = { address: '192.168.1.5', port: 40_000 };
const HOUR = 3_600_000;

interface Setup {
  readonly folder?: string;
  readonly limits?: OutboxLimits;
  readonly keepMs?: number;
  readonly withoutOutbox?: boolean;
  /** How many messages to the gateway may leave; the test changes it. */
  readonly allowed?: { messages: number };
}

/** A delivery whose way out the test opens and closes, and what left. */
async function start({ folder, limits = OUTBOX_LIMITS, keepMs = HOUR, withoutOutbox = false, allowed }: Setup = {}) {
  const { log, withMessage } = recordingLog();
  const database = await openTestDatabase(folder);
  const outbox = withoutOutbox ? undefined : await openOutbox(database, systemClock(), limits);
  const left: string[] = [];
  /** Ways that are closed: destinations, or `from` and a device port. */
  const closed = new Set<string>();
  /** Set, the transport tells of what was sent only later, as the kernel does. */
  let answers: (() => void)[] | undefined;
  const transport: Transport = {
    name: 'fake',
    start: async () => undefined,
    send(bytes, destination, port, done) {
      const answer = () => {
        const isClosed = closed.has('all') || closed.has(formatEndpoint(destination)) || closed.has(`from ${port}`);
        if (!isClosed) left.push(Buffer.from(bytes).toString());
        done(isClosed ? new Error('no route') : undefined);
      };
      if (answers === undefined) answer();
      else answers.push(answer);
    },
    maxBytes: () => 1300,
    link: () => onlyLink({ name: 'fake', up: true, since: 0 }, 0),
    address: () => undefined,
    kernelDrops: () => undefined,
    stop: async () => undefined,
  };
  const stats = createStats(log);
  const { counters } = stats;
  const rates: Pick<Rates, 'take' | 'giveBack'> = {
    take: () => (allowed !== undefined && --allowed.messages < 0 ? 'from-sim-rate' : undefined),
    giveBack: () => void (allowed !== undefined && allowed.messages++),
  };
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const delivery = createDelivery({ transport, outbox, keepMs, rates, stats, log });
  onTestFinished(() => delivery.stop());
  delivery.start();
  const send = (text: string, change: Partial<Outgoing> = {}) =>
    new Promise<Error | undefined>((resolve) =>
      delivery.send({ bytes: Buffer.from(text), destination: GATEWAY, port: 6969, kind: 'reply', ...change }, resolve),
    );
  return {
    delivery,
    send,
    left,
    closed,
    outbox,
    counters,
    withMessage,
    database,
    waiting: () => outbox?.waiting().map(({ bytes }) => bytes.toString()),
    holdAnswers(): void {
      answers = [];
    },
    answerAll(): void {
      const held = answers ?? [];
      answers = undefined;
      for (const answer of held) answer();
    },
  };
}

/** Time for what waits to be tried again. */
async function pass(ms = 1000): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settled();
}

describe('what is to leave', () => {
  it('leaves at once where there is a way, and nothing is written', async () => {
    const { send, left, outbox, counters } = await start();
    expect(await send('a')).toBeUndefined();
    expect(await send('b', { kind: 'event' })).toBeUndefined();
    expect(await send('c', { kind: 'signal' })).toBeUndefined();
    expect(left).toEqual(['a', 'b', 'c']);
    expect(outbox?.size).toEqual({ entries: 0, bytes: 0 });
    expect(counters).toMatchObject({ sent: 3, sentBytes: 3, unsent: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is said to have left, to be on the disk once it is, or to be in memory only', async () => {
    const folder = temporaryFolder();
    const { delivery, closed, outbox, database } = await start({ folder });
    const where = (text: string) =>
      new Promise((resolve) => {
        const outgoing = { bytes: Buffer.from(text), destination: GATEWAY, port: 6969, kind: 'event' } as const;
        delivery.send(outgoing, (error, found) => resolve(error ?? found));
      });
    expect(await where('a')).toBe('sent');
    closed.add('all');
    const rows = async () => (await database.read('SELECT seq FROM outbox')).length;
    expect(await rows()).toBe(0);
    expect(await where('b')).toBe('on-disk');
    expect(await rows()).toBe(1);
    await database.close();
    expect(await where('c')).toBe('in-memory');
    expect(outbox?.size.entries).toBe(2);
  });

  it('is told to be lost once, where it finds no room', async () => {
    const { delivery, closed } = await start({ limits: { entries: 1, bytes: 1000 } });
    closed.add('all');
    const tellings: (Error | undefined)[] = [];
    const send = (kind: 'reply' | 'event') =>
      delivery.send({ bytes: Buffer.from('x'), destination: GATEWAY, port: 6969, kind }, (error) => {
        tellings.push(error);
      });
    send('reply');
    send('event');
    await settled();
    expect(tellings.map((error) => error === undefined)).toEqual([false, true]);
  });

  it('waits without a link, and leaves in its order when there is one', async () => {
    const { send, left, closed, waiting, counters, withMessage } = await start();
    closed.add('all');
    for (const text of ['a', 'b', 'c']) expect(await send(text)).toBeUndefined();
    expect(await send('e', { kind: 'event' })).toBeUndefined();
    await pass(10_000);
    expect(left).toEqual([]);
    expect(waiting()).toEqual(['a', 'b', 'c', 'e']);
    closed.clear();
    await pass();
    expect(left).toEqual(['a', 'b', 'c', 'e']);
    expect(waiting()).toEqual([]);
    expect(counters).toMatchObject({ sent: 4, unsent: 4 });
    expect(withMessage('no way out: it waits in the outbox')).toHaveLength(1);
    expect(await send('f')).toBeUndefined();
    expect(left.at(-1)).toBe('f');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not overtake what waits, also when the link is back already', async () => {
    const { send, left, closed, holdAnswers, answerAll } = await start();
    closed.add('all');
    await send('a');
    closed.clear();
    await send('b');
    expect(left).toEqual([]);
    holdAnswers();
    await pass();
    await send('c');
    answerAll();
    await pass(0);
    await send('d');
    await pass();
    expect(left).toEqual(['a', 'b', 'c', 'd']);
  });

  it('leaves at once again when what waited has gone, however much came meanwhile', async () => {
    const { send, left, closed, holdAnswers, answerAll, waiting } = await start();
    closed.add('all');
    await send('a');
    closed.clear();
    holdAnswers();
    await pass();
    await send('b');
    await send('c');
    answerAll();
    await pass(1);
    expect(waiting()).toEqual([]);
    expect(left).toEqual(['a', 'b', 'c']);
  });

  it('waits also where the kernel tells only later that it cannot leave', async () => {
    const { send, left, closed, holdAnswers, answerAll } = await start();
    holdAnswers();
    closed.add('all');
    const all = ['a', 'b', 'c'].map((text) => send(text));
    answerAll();
    expect(await Promise.all(all)).toEqual([undefined, undefined, undefined]);
    closed.clear();
    await pass();
    expect(left).toEqual(['a', 'b', 'c']);
  });

  it('that is worth nothing later is not kept, and waits for nothing', async () => {
    const { send, left, closed, waiting } = await start();
    closed.add('all');
    expect(await send('ACK', { kind: 'signal' })).toMatchObject({ message: 'no route' });
    expect(waiting()).toEqual([]);
    await send('a');
    closed.clear();
    expect(await send('RST', { kind: 'signal' })).toBeUndefined();
    expect(left).toEqual(['RST']);
    await pass();
    expect(left).toEqual(['RST', 'a']);
  });

  it('is lost without an outbox, and said to be', async () => {
    const { send, closed, withMessage, counters } = await start({ withoutOutbox: true });
    closed.add('all');
    expect(await send('a')).toMatchObject({ message: 'no route' });
    await pass(5000);
    expect(withMessage('datagram lost')).toHaveLength(1);
    expect(counters.unsent).toBe(1);
  });

  it('after the stop neither waits nor is tried again', async () => {
    const { delivery, send, closed, left, waiting } = await start();
    closed.add('all');
    await send('a');
    delivery.stop();
    expect(vi.getTimerCount()).toBe(0);
    expect(await send('b')).toMatchObject({ message: 'no route' });
    closed.clear();
    await pass(5000);
    expect(left).toEqual([]);
    expect(waiting()).toEqual(['a']);
  });
});

describe('a destination that cannot be reached', () => {
  it('holds up nothing that goes elsewhere', async () => {
    const { send, left, closed, waiting } = await start();
    closed.add(formatEndpoint(NEIGHBOUR));
    await send('a', { destination: NEIGHBOUR });
    await send('b');
    await send('c', { destination: NEIGHBOUR });
    await send('d');
    expect(left).toEqual(['b', 'd']);
    await pass(5000);
    await send('e');
    expect(left).toEqual(['b', 'd', 'e']);
    expect(waiting()).toEqual(['a', 'c']);
    closed.clear();
    await pass();
    expect(left).toEqual(['b', 'd', 'e', 'a', 'c']);
  });

  it('from one port, as the agent does not listen there any more, holds up nothing from another', async () => {
    const folder = temporaryFolder();
    const before = await start({ folder });
    before.closed.add('all');
    await before.send('old', { port: 7000 });
    before.delivery.stop();
    await before.database.close();
    const { send, left, closed, waiting } = await start({ folder });
    closed.add('from 7000');
    await send('new');
    await pass();
    await send('newer');
    expect(left).toEqual(['new', 'newer']);
    expect(waiting()).toEqual(['old']);
  });

  it('is tried once a second, however much waits for it', async () => {
    const { send, closed, counters, left, holdAnswers, answerAll } = await start();
    closed.add('all');
    for (let index = 0; index < 50; index++) await send(`${index}`);
    expect(counters.unsent).toBe(50);
    for (let second = 0; second < 5; second++) {
      holdAnswers();
      await pass();
      answerAll();
      await pass(0);
    }
    expect(left).toEqual([]);
    closed.clear();
    await pass();
    expect(left).toHaveLength(50);
  });
});

describe('the outbox', () => {
  it('outlives the agent, and what comes after the start waits behind it', async () => {
    const folder = temporaryFolder();
    const before = await start({ folder });
    before.closed.add('all');
    for (const text of ['a', 'b']) await before.send(text);
    before.delivery.stop();
    await before.database.close();
    const { send, left, waiting } = await start({ folder });
    await send('c');
    expect(left).toEqual([]);
    await pass();
    expect(left).toEqual(['a', 'b', 'c']);
    expect(waiting()).toEqual([]);
  });

  it('leaves nothing for the next start of what has left', async () => {
    const folder = temporaryFolder();
    const before = await start({ folder });
    before.closed.add('all');
    for (const text of ['a', 'b']) await before.send(text);
    before.closed.clear();
    await pass();
    before.delivery.stop();
    await before.database.close();
    const { left, waiting } = await start({ folder });
    expect(waiting()).toEqual([]);
    await pass(5000);
    expect([before.left, left]).toEqual([['a', 'b'], []]);
  });

  it('is bounded: the oldest event goes first, then the oldest reply', async () => {
    const { send, left, closed, outbox } = await start({ limits: { entries: 3, bytes: 1000 } });
    closed.add('all');
    for (const text of ['a', 'b', 'c']) await send(text, { kind: text === 'b' ? 'event' : 'reply' });
    await send('d');
    await send('e');
    expect(outbox?.drops).toEqual({ count: 2, bytes: 0, expired: 0 });
    closed.clear();
    await pass();
    expect(left).toEqual(['c', 'd', 'e']);
  });

  it('that has no room for an event says that it is lost', async () => {
    const { send, closed, waiting, withMessage } = await start({ limits: { entries: 2, bytes: 1000 } });
    closed.add('all');
    expect(await send('first', { kind: 'event' })).toBeUndefined();
    for (const text of ['a', 'b']) expect(await send(text)).toBeUndefined();
    expect(await send('second', { kind: 'event' })).toMatchObject({ code: 'link-down' });
    expect(waiting()).toEqual(['a', 'b']);
    expect(withMessage('datagram lost')).toHaveLength(1);
  });
});

describe('a rate that is used up', () => {
  it('holds a datagram back, which is counted and logged, never waits, and whose caller is told', async () => {
    const { send, left, counters, waiting, withMessage } = await start({ allowed: { messages: 2 } });
    const errors = [await send('1'), await send('2'), await send('3', { kind: 'event' })];
    expect(left).toEqual(['1', '2']);
    expect(errors).toMatchObject([undefined, undefined, { code: 'rate-limited' }]);
    expect(errors[2]?.message).toContain('limits.fromSimPerHour');
    expect(counters).toMatchObject({ unsent: 0, heldBack: { 'from-sim-rate': 1 } });
    expect(withMessage('datagram held back')).toMatchObject([{ details: { cause: 'from-sim-rate', times: 1 } }]);
    expect(waiting()).toEqual([]);
  });

  it('is not used by what cannot leave', async () => {
    const { send, left, closed, waiting } = await start({ allowed: { messages: 1 } });
    closed.add('all');
    await send('1');
    await send('2');
    expect(waiting()).toEqual(['1', '2']);
    closed.clear();
    await vi.advanceTimersByTimeAsync(1000);
    await settled();
    expect(left).toEqual(['1']);
  });

  it('lets what waits in the outbox leave later', async () => {
    const allowed = { messages: 1 };
    const { send, left, closed, waiting } = await start({ allowed });
    closed.add('all');
    await send('1');
    await send('2');
    closed.clear();
    await vi.advanceTimersByTimeAsync(1000);
    expect([left, waiting()]).toEqual([['1'], ['2']]);
    allowed.messages = 1;
    await vi.advanceTimersByTimeAsync(1000);
    expect([left, waiting()]).toEqual([['1', '2'], []]);
  });
});
