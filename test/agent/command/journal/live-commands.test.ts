import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { acceptedEntry, endedEntry, startedEntry } from '../../../../agent/command/journal/entry.js';
import { createLiveCommands, reservedFor } from '../../../../agent/command/journal/live-commands.js';
import { createRemembered } from '../../../../agent/command/journal/remembered.js';
import { insertRow, OLDEST_FIRST, parseRows } from '../../../../agent/command/journal/rows.js';
import type { Database } from '../../../../agent/storage/database.js';
import { command, keyOf, openTestDatabase, REPLY, standingClock, told } from './support.js';

const NOW = standingClock().clock();
const accepted = (id: number) => acceptedEntry(command(id), id, NOW);
const started = (id: number) => startedEntry(accepted(id), NOW);
const ended = (id: number) => endedEntry(started(id), { outcome: 'done', reply: REPLY }, NOW);

async function start() {
  const database = await openTestDatabase(undefined);
  const remembered = createRemembered(database);
  const live = createLiveCommands(database, remembered);
  const states = async () =>
    parseRows(await database.read(OLDEST_FIRST, [0, 100])).map(({ entry }) => [entry.seq, entry.state]);
  return { database, remembered, live, states };
}

/** Makes the next commit fail. */
const spoil = (database: Database) =>
  database.write(
    (run) => run('INSERT INTO nowhere VALUES (1)', []),
    () => undefined,
  );

describe('a command that has not ended', () => {
  it('is known at once, and remembered by others when its end is on the disk', async () => {
    const { live, remembered, states } = await start();
    const one = live.add(accepted(1));
    expect([live.get(keyOf(1)), live.size, live.bytes]).toEqual([one, 1, reservedFor(command(1))]);
    await told((done) => live.put(one, accepted(1), done));
    await told((done) => live.put(one, started(1), done));
    expect(await states()).toEqual([[1, 'started']]);
    const end = told((done) => live.put(one, ended(1), done));
    expect([live.size, remembered.count]).toEqual([1, 0]);
    await end;
    expect([live.size, live.bytes, remembered.count, live.get(keyOf(1))]).toEqual([0, 0, 1, undefined]);
    expect(await states()).toEqual([[1, 'done']]);
  });

  it('whose states follow each other at once is written once, as it is then', async () => {
    const { live, database, states } = await start();
    const write = vi.spyOn(database, 'write');
    const one = live.add(accepted(1));
    const all = [accepted(1), started(1), ended(1)].map((entry) => told((done) => live.put(one, entry, done)));
    expect(await Promise.all(all)).toEqual([undefined, undefined, undefined]);
    const run = vi.fn();
    for (const [work] of write.mock.calls) work(run);
    expect(run).toHaveBeenCalledTimes(1);
    expect(await states()).toEqual([[1, 'done']]);
  });

  it.each([
    ['when the ends are written again', []],
    ['before another is written', [2]],
  ])(
    'and was not accepted, as its commit failed, is gone; what may be on the disk of it is removed %s',
    async (_, next) => {
      const { live, database, states } = await start();
      spoil(database);
      const one = live.add(accepted(1));
      expect(await told((done) => live.put(one, accepted(1), done))).toMatchObject({ code: 'busy' });
      expect([live.size, live.bytes]).toEqual([0, 0]);
      // It has reached the disk all the same.
      await told((done) => database.write((run) => insertRow(run, accepted(1), 1), done));
      for (const id of next) await told((done) => live.put(live.add(accepted(id)), accepted(id), done));
      if (next.length === 0) live.retry();
      expect(await states()).toEqual(next.map((id) => [id, 'accepted']));
    },
  );

  it('that could not start has not started, and one that has ended stays ended and is written later', async () => {
    const { live, database, remembered, states } = await start();
    const one = live.add(accepted(1));
    await told((done) => live.put(one, accepted(1), done));
    spoil(database);
    expect(await told((done) => live.put(one, started(1), done))).toMatchObject({ code: 'busy' });
    expect(one.entry.state).toBe('accepted');
    spoil(database);
    expect(await told((done) => live.put(one, ended(1), done))).toMatchObject({ code: 'busy' });
    expect([one.entry.state, remembered.count]).toEqual(['done', 0]);
    live.retry();
    await database.flush();
    expect([live.size, remembered.count]).toEqual([0, 1]);
    expect(await states()).toEqual([[1, 'done']]);
  });

  it('whose end could not be written is written by itself after a while', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { live, database, states } = await start();
    const one = live.add(accepted(1));
    await told((done) => live.put(one, accepted(1), done));
    spoil(database);
    await told((done) => live.put(one, ended(1), done));
    // First the database finds that it can be written again.
    for (let second = 0; second < 6; second++) {
      vi.advanceTimersByTime(1000);
      await database.flush();
    }
    expect(live.size).toBe(0);
    expect(await states()).toEqual([[1, 'done']]);
  });
});
