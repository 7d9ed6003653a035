import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../agent/base/log.js';
import { createDelivery, type Outgoing } from '../../agent/command/outbox/delivery.js';
import { openOutbox } from '../../agent/command/outbox/outbox.js';
import { createStats } from '../../agent/command/stats/stats.js';
import { onlyLink, type Transport } from '../../agent/transport/transport.js';
import { SupersimError } from '../../shared/errors.js';
import { openTestDatabase, standingClock } from '../agent/command/journal/support.js';
import { temporaryFolder } from '../support/files.js';

const GATEWAY = { address: '100.64.0.1', port: 6969 };

/** A link with a configurable limit that records its datagrams. */
async function deliverBy(
  verdict: (bytes: number) => 'link-down' | 'too-large' | undefined,
  folder = temporaryFolder(),
) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const link = { verdict };
  const left: [text: string, via: string | undefined][] = [];
  const transport: Transport = {
    name: 'fake',
    start: async () => undefined,
    send(bytes, _destination, _port, done, via) {
      const code = link.verdict(bytes.length);
      if (code === undefined) left.push([Buffer.from(bytes).toString(), via]);
      done(code && new SupersimError(code, 'as the test wants it'));
    },
    maxBytes: () => 1300,
    link: () => onlyLink({ name: 'fake', up: true, since: 0 }, 0),
    address: () => undefined,
    kernelDrops: () => undefined,
    stop: async () => undefined,
  };
  const database = await openTestDatabase(folder);
  const outbox = await openOutbox(database, standingClock().clock);
  const stats = createStats(silentLog);
  const delivery = createDelivery({
    transport,
    outbox,
    keepMs: Date.now() * 2,
    rates: { take: () => undefined, giveBack: () => undefined },
    stats,
    log: silentLog,
  });
  onTestFinished(delivery.stop);
  return {
    link,
    left,
    outbox,
    database,
    delivery,
    reply: (text: string, via?: string, kind: Outgoing['kind'] = 'reply') =>
      new Promise<Error | undefined>((done) =>
        delivery.send({ bytes: Buffer.from(text), destination: GATEWAY, port: 6969, via, kind }, done),
      ),
    nextRound: () => vi.advanceTimersByTimeAsync(1000),
  };
}

describe('a waiting reply', () => {
  it('is sent by the link of its command, also after a restart', async () => {
    const folder = temporaryFolder();
    const first = await deliverBy(() => 'link-down', folder);
    await first.reply('a', 'modem');
    await first.reply('b');
    first.delivery.stop();
    await first.database.close();
    const second = await deliverBy(() => undefined, folder);
    second.delivery.start();
    await second.nextRound();
    expect(second.left).toEqual([
      ['a', 'modem'],
      ['b', undefined],
    ]);
    expect(second.outbox.size.entries).toBe(0);
  });

  it('does not block shorter ones that a smaller link can send', async () => {
    const { link, left, outbox, reply, nextRound } = await deliverBy(() => 'link-down');
    for (const text of ['xxx', 'yy', 'zzz', 'w']) await reply(text);
    link.verdict = (bytes) => (bytes > 2 ? 'link-down' : undefined);
    await nextRound();
    expect(left.map(([text]) => text)).toEqual(['yy', 'w']);
    expect(outbox.waiting().map(({ bytes }) => bytes.toString())).toEqual(['xxx', 'zzz']);
    link.verdict = () => undefined;
    await nextRound();
    expect(left.map(([text]) => text)).toEqual(['yy', 'w', 'xxx', 'zzz']);
  });

  it('is dropped when it can never be sent, and the others are sent', async () => {
    const { link, left, outbox, reply, nextRound } = await deliverBy(() => 'link-down');
    for (const text of ['xxx', 'yy', 'zzz']) await reply(text);
    link.verdict = (bytes) => (bytes > 2 ? 'too-large' : undefined);
    await nextRound();
    expect(left.map(([text]) => text)).toEqual(['yy']);
    expect(outbox.size.entries).toBe(0);
  });
});

it('a reply that can never be sent does not wait', async () => {
  const { outbox, reply } = await deliverBy(() => 'too-large');
  expect(await reply('x')).toMatchObject({ code: 'too-large' });
  expect(outbox.size.entries).toBe(0);
});
