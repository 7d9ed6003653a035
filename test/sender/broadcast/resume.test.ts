import { join } from 'node:path';
import Libsql from 'libsql';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RESUME_WITHIN_MS } from '../../../sender/broadcast/device-memory.js';
import { runBroadcast } from '../../../sender/broadcast/resume.js';
import {
  type BroadcastState,
  createBroadcastState,
  openBroadcastState,
  type StoredBroadcastCommand,
} from '../../../sender/broadcast/store/state.js';
import { ApiError, type BroadcastResult } from '../../../sender/index.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { temporaryFolder } from '../../support/files.js';
import { collect } from '../support.js';
import { type Device, isPing, makeFleet, makeJournalDevice, ok, respond, simNames } from './support.js';

const COMMAND: StoredBroadcastCommand = { name: 'relay.set', format: 'coap', get: false, devicePort: 6969 };
const timeScale = 0.001;

async function make(sims: readonly string[], command: Partial<StoredBroadcastCommand> = {}) {
  const path = join(temporaryFolder(), 'broadcast.db');
  const state = await createBroadcastState(path, { ...COMMAND, ...command });
  await state.add(sims);
  /** As another process would. */
  const reopen = async () => {
    state.close();
    const again = await openBroadcastState(path);
    onTestFinished(() => again.close());
    return again;
  };
  onTestFinished(() => state.close());
  return { path, state, reopen };
}

/** Starts a broadcast to one device whose answer is lost: only the device knows of it. */
async function loseAnswer(device: Device) {
  const made = await make(['sim-1']);
  await runPart(made.state, (bytes, sim) => void device(bytes, sim), 0);
  return made;
}

/** Moves the clock on; it is set right when the test is over. */
function setClock(to: number): void {
  vi.setSystemTime(to);
  onTestFinished(() => void vi.useRealTimers());
}

/** Runs until so many results are there, or `stop` says so; what is under way then is left as it is. */
async function runPart(state: BroadcastState, device: Device, ends: number) {
  const fleet = makeFleet(device);
  const abort = new AbortController();
  const given: BroadcastResult[] = [];
  const results = runBroadcast(state, { ...fleet, concurrency: 10, signal: abort.signal });
  const all = (async () => {
    for await (const result of results) given.push(result);
  })().catch((error: unknown) => error);
  await expect.poll(() => given).toSatisfy((some: BroadcastResult[]) => some.length >= ends);
  await expect.poll(() => [...fleet.listeners.keys()]).not.toEqual([]);
  abort.abort(new Error('stopped'));
  expect(await all).toEqual(new Error('stopped'));
  return { fleet, given };
}

const silentFor =
  (isSilent: (number: number) => boolean): Device =>
  (bytes, sim) =>
    isSilent(Number(sim.slice(4))) ? undefined : ok(bytes, sim);

describe('a resumed broadcast', () => {
  it('sends the same bytes to SIMs that were started, and nothing to those that ended', async () => {
    const { state, reopen } = await make(simNames(30), { params: { on: true, level: -0 } });
    const before = await runPart(
      state,
      silentFor((number) => number % 3 === 0),
      15,
    );
    expect(before.given.every(({ outcome }) => outcome === 'done')).toBe(true);
    const ended = new Set(before.given.map(({ sim }) => sim));
    const begun = before.fleet.posts.filter(({ sim }) => !ended.has(sim));
    expect(begun.length).toBeGreaterThan(0);

    const again = await reopen();
    expect(again.counts()).toMatchObject({ done: ended.size, waiting: 30 - ended.size });
    const after = makeFleet();
    const results = await collect(runBroadcast(again, { ...after, concurrency: 10 }));
    expect(results.map(({ sim }) => sim).sort()).toEqual(
      simNames(30)
        .filter((sim) => !ended.has(sim))
        .sort(),
    );
    for (const post of begun) expect(after.posts).toContainEqual(post);
    expect(after.posts).toHaveLength(30 - ended.size);
    expect(again.counts()).toMatchObject({ done: 30, waiting: 0 });
  });

  it('has different requests for each SIM and each broadcast', async () => {
    const posts = [];
    for (const _ of [1, 2]) {
      const { state } = await make(simNames(20));
      const fleet = makeFleet();
      await collect(runBroadcast(state, fleet));
      posts.push(...fleet.posts);
    }
    const tokens = posts.map(({ hex }) => parseMessage(Buffer.from(hex, 'hex')).token.toString('hex'));
    expect(new Set(tokens).size).toBe(40);
  });

  it('never ends as not-sent for a SIM that was started before', async () => {
    const { state, reopen } = await make(['sim-1', 'sim-2']);
    await state.start('sim-1');
    const again = await reopen();
    const fleet = makeFleet(ok, async () => {
      throw new ApiError(404, '');
    });
    const results = await collect(runBroadcast(again, fleet));
    expect(new Map(results.map(({ sim, outcome }) => [sim, outcome]))).toEqual(
      new Map([
        ['sim-1', 'no-answer'],
        ['sim-2', 'not-sent'],
      ]),
    );
  });

  it('asks after the deadline only SIMs that were started, whose devices remember the outcome', async () => {
    const { state, reopen } = await make(['sim-1', 'sim-2'], { deadline: Math.floor(Date.now() / 1000) - 1 });
    await state.start('sim-1');
    const again = await reopen();
    const fleet = makeFleet(respond('4.03', 'expired: too late'));
    const results = await collect(runBroadcast(again, fleet));
    expect(new Set(fleet.posts.map(({ sim }) => sim))).toEqual(new Set(['sim-1']));
    expect(results).toContainEqual(expect.objectContaining({ sim: 'sim-1', outcome: 'refused' }));
    expect(results).toContainEqual(
      expect.objectContaining({
        sim: 'sim-2',
        outcome: 'not-sent',
        error: expect.objectContaining({ code: 'expired' }),
      }),
    );
  });

  it.each<[string, string, number]>([
    ['a little less than 23 hours', 'done', RESUME_WITHIN_MS - 60_000],
    ['23 hours', 'no-answer', RESUME_WITHIN_MS],
    ['a few seconds, by a clock that is behind', 'done', -30_000],
    ['nobody knows how long, the clock having been set back', 'no-answer', -3_600_000],
  ])('asks a SIM that was started %s: %s', async (_, outcome, age) => {
    const { state, reopen } = await make(['sim-1']);
    await state.start('sim-1');
    const begun = Date.now();
    const again = await reopen();
    setClock(begun + age);
    const fleet = makeFleet();
    expect(await collect(runBroadcast(again, fleet))).toMatchObject([{ sim: 'sim-1', outcome }]);
    expect(fleet.posts).toHaveLength(outcome === 'done' ? 1 : 0);
    expect(again.counts()).toMatchObject({ [outcome]: 1, waiting: 0 });
  });

  it('leaves SIMs without an outcome when an error stops it', async () => {
    const { state, reopen } = await make(simNames(40));
    const refused = new ApiError(401, '');
    const fleet = makeFleet(ok, async (_, count) => {
      if (count > 12) throw refused;
    });
    const results = collect(runBroadcast(state, { ...fleet, concurrency: 5 }));
    await expect(results).rejects.toBe(refused);
    const { done, waiting, ...others } = state.counts();
    expect(done).toBeLessThanOrEqual(12);
    expect(done + waiting).toBe(40);
    expect(Object.values(others).every((count) => count === 0)).toBe(true);
    const again = await reopen();
    await collect(runBroadcast(again, makeFleet()));
    expect(again.counts()).toMatchObject({ done: 40 });
  });

  it('stops when its file cannot be written, and asks no device without a record', async () => {
    const { state } = await make(simNames(100));
    const full = new Error('full');
    let started = 0;
    const failing = {
      ...state,
      start: (sim: string) => (++started > 10 ? Promise.reject(full) : state.start(sim)),
      total: state.total,
    };
    const fleet = makeFleet(silentFor(() => true));
    await expect(collect(runBroadcast(failing, { ...fleet, concurrency: 20 }))).rejects.toBe(full);
    expect(fleet.posts.length).toBeLessThanOrEqual(10);
    expect(fleet.listeners.size).toBe(0);
  });
});

const HOUR = 3600;
const IDENTITY = { id: '0123456789ab', age: 24 * HOUR };
const OTHER = { id: 'ba9876543210', age: 24 * HOUR };

describe('a SIM that was started', () => {
  it('is sent a ping before the same bytes, whose device has the same journal and answers from it', async () => {
    const { device, state: seen } = makeJournalDevice(IDENTITY);
    const { reopen } = await loseAnswer(device);
    const again = await reopen();
    const fleet = makeFleet((bytes, sim) => {
      // The journal is on the disk before the command is sent again.
      if (!isPing(bytes)) expect([...again.pending()]).toMatchObject([{ journal: IDENTITY.id }]);
      return device(bytes, sim);
    });
    const results = await collect(runBroadcast(again, fleet));
    expect(results).toMatchObject([{ sim: 'sim-1', outcome: 'done', forgotten: true, attempts: 1, apiCalls: 2 }]);
    expect([fleet.pings.length, fleet.posts.length, seen.runs]).toEqual([1, 1, 1]);
    expect(fleet.pings[0]).toMatchObject({ sim: 'sim-1', devicePort: 6969 });
    expect([...again.ended()]).toMatchObject([
      { outcome: 'done', journal: IDENTITY.id, message: expect.stringContaining('no longer remembers') },
    ]);
  });

  it('is not asked again when its device has had another journal before', async () => {
    const { device, state: seen, replaceJournal } = makeJournalDevice(IDENTITY);
    const { state, reopen } = await loseAnswer(device);
    await state.setJournal('sim-1', IDENTITY.id);
    replaceJournal(OTHER);
    const again = await reopen();
    const fleet = makeFleet(device);
    const results = await collect(runBroadcast(again, fleet));
    expect(results).toMatchObject([
      { outcome: 'no-answer', error: { code: 'no-answer', message: expect.stringContaining('lost or replaced') } },
    ]);
    expect([fleet.pings.length, fleet.posts.length, seen.runs]).toEqual([1, 0, 1]);
    expect(again.counts()).toMatchObject({ 'no-answer': 1, waiting: 0 });
  });

  it.each<[string, number, string]>([
    ['is younger than the command', HOUR, 'no-answer'],
    ['is as old as the command', 2 * HOUR, 'no-answer'],
    ['is older by less than clocks may differ', 2 * HOUR + 55, 'no-answer'],
    ['is older than the command', 2 * HOUR + 65, 'done'],
  ])('two hours ago, whose device has a journal that %s', async (_, age, outcome) => {
    const { device, state: seen, replaceJournal } = makeJournalDevice(IDENTITY);
    const { reopen } = await loseAnswer(device);
    replaceJournal({ ...OTHER, age });
    // If it is asked in spite of that, it must be for a journal that may well know the command.
    const runs = outcome === 'done' ? 2 : 1;
    const again = await reopen();
    setClock(Date.now() + 2 * HOUR * 1000);
    const fleet = makeFleet(device);
    expect(await collect(runBroadcast(again, fleet))).toMatchObject([{ outcome }]);
    expect([fleet.pings.length, fleet.posts.length, seen.runs]).toEqual([1, runs - 1, runs]);
  });

  it('is asked again when its agent is too old to tell which journal it has', async () => {
    const { device, state: seen } = makeJournalDevice(undefined);
    const { reopen } = await loseAnswer(device);
    const again = await reopen();
    const fleet = makeFleet(device);
    expect(await collect(runBroadcast(again, fleet))).toMatchObject([{ outcome: 'done', forgotten: true }]);
    expect([fleet.posts.length, seen.runs]).toEqual([1, 1]);
    expect([...again.ended()]).toMatchObject([{ journal: null }]);
  });

  it('is not asked again when its device told which journal it has, and no longer does', async () => {
    const { device, state: seen, replaceJournal } = makeJournalDevice(IDENTITY);
    const { state, reopen } = await loseAnswer(device);
    await state.setJournal('sim-1', IDENTITY.id);
    replaceJournal(undefined);
    const again = await reopen();
    expect(await collect(runBroadcast(again, makeFleet(device)))).toMatchObject([{ outcome: 'no-answer' }]);
    expect(seen.runs).toBe(1);
  });

  it('is not asked again when its device does not answer the ping', async () => {
    const { reopen } = await loseAnswer(ok);
    const again = await reopen();
    const fleet = makeFleet(() => undefined);
    const results = await collect(runBroadcast(again, { ...fleet, timeScale, timeout: '300ms' }));
    expect(results).toMatchObject([
      { outcome: 'no-answer', attempts: 0, apiCalls: 5, error: { message: expect.stringContaining('ping') } },
    ]);
    expect([fleet.pings.length, fleet.posts.length]).toEqual([5, 0]);
  });

  it('is pinged again while the API accepts nothing, and each datagram waits for its slot', async () => {
    const { device, state: seen } = makeJournalDevice(IDENTITY);
    const { reopen } = await loseAnswer(device);
    const again = await reopen();
    const fleet = makeFleet(device, async (_, count) => {
      if (count <= 2) throw new ApiError(429, '');
    });
    const results = await collect(runBroadcast(again, { ...fleet, rate: 100 }));
    expect(results).toMatchObject([{ outcome: 'done' }]);
    expect([fleet.pings.length, fleet.posts.length, seen.runs]).toEqual([3, 1, 1]);
  });

  it('by a version whose files know no journals is resumed like any other', async () => {
    const { device, state: seen } = makeJournalDevice(IDENTITY);
    const { path, state } = await loseAnswer(device);
    state.close();
    const database = new Libsql(path);
    database.exec('ALTER TABLE sims DROP COLUMN journal');
    database.close();
    const again = await openBroadcastState(path);
    onTestFinished(() => again.close());
    expect(await collect(runBroadcast(again, makeFleet(device)))).toMatchObject([{ outcome: 'done', forgotten: true }]);
    expect([...again.ended()]).toMatchObject([{ journal: IDENTITY.id }]);
    expect(seen.runs).toBe(1);
  });
});

it('a broadcast that is not resumed sends no ping', async () => {
  const { state } = await make(simNames(3));
  const fleet = makeFleet();
  await collect(runBroadcast(state, fleet));
  expect([fleet.pings.length, fleet.posts.length]).toEqual([0, 3]);
});

describe('the canary of a resumed broadcast', () => {
  const canary = { share: 0.2, abortAbove: 0.25 };
  const bad =
    (most: number): Device =>
    (bytes, sim) =>
      (Number(sim.slice(4)) <= most ? respond('5.00') : ok)(bytes, sim);

  it('includes the SIMs of the canary that ended earlier', async () => {
    const { state, reopen } = await make(simNames(40), { canary });
    await runPart(state, (bytes, sim) => (Number(sim.slice(4)) > 6 ? undefined : bad(2)(bytes, sim)), 6);
    const again = await reopen();
    expect(again.canaryProgress(8)).toEqual({ ended: 6, failed: 2 });
    const fleet = makeFleet(bad(7));
    const asked = () => fleet.posts.map(({ sim }) => sim).sort();
    await expect(collect(runBroadcast(again, fleet))).rejects.toMatchObject({ code: 'canary-failed' });
    expect(asked()).toEqual(['sim-7', 'sim-8']);
    // What has failed fails again.
    await expect(collect(runBroadcast(again, fleet))).rejects.toMatchObject({ code: 'canary-failed' });
    expect(asked()).toHaveLength(2);
  });

  it('can be skipped', async () => {
    const { state } = await make(simNames(40), { canary });
    await expect(collect(runBroadcast(state, makeFleet(bad(8))))).rejects.toMatchObject({ code: 'canary-failed' });
    const results = await collect(runBroadcast(state, { ...makeFleet(), withoutCanary: true }));
    expect(results).toHaveLength(40 - state.canaryProgress(8).ended);
    expect(state.counts().waiting).toBe(0);
  });
});

it('a SIM whose answers are all lost ends as no-answer, also when resumed', async () => {
  const { state } = await make(['sim-1']);
  const fleet = makeFleet(() => undefined);
  const results = await collect(runBroadcast(state, { ...fleet, timeScale, timeout: '300ms' }));
  expect(results).toMatchObject([{ outcome: 'no-answer', attempts: 5 }]);
  expect([...state.ended()]).toMatchObject([{ outcome: 'no-answer', code: 'no-answer', attempts: 5 }]);
});
