import { describe, expect, it } from 'vitest';
import { createJournal } from '../../../agent/command/journal/journal.js';
import type { Found, Journal } from '../../../agent/command/journal/types.js';
import { GATEWAY } from '../../../shared/coap/parameters.js';
import { REMEMBERED } from '../../../shared/limits.js';
import {
  command,
  keyOf,
  openTestDatabase,
  REPLY,
  standingClock,
  tellNothing,
  told,
} from '../../agent/command/journal/support.js';

/** Commands that are under way at the same time. */
const AT_ONCE = 500;
/** How many hours commands come at 10 a second; `npm run soak` lasts a day. */
const { SOAK_HOURS = '2' } = process.env;

const lifetimeMs = GATEWAY.exchangeLifetime;

const find = (journal: Journal, id: number) =>
  new Promise<Found | undefined>((resolve) => journal.find(keyOf(id), 'gateway', lifetimeMs, resolve));

/** A journal with the defaults, and what runs commands at a rate. @returns how many were refused */
async function open() {
  const { clock, pass } = standingClock();
  const database = await openTestDatabase(undefined);
  const journal = createJournal(database, clock);
  await journal.recover(tellNothing);
  let count = 0;

  async function run(id: number): Promise<boolean> {
    if ((await told((done) => journal.begin(command(id, { lifetimeMs }), done))) !== undefined) return false;
    await told((done) => journal.finish(keyOf(id), { outcome: 'done', reply: REPLY }, done));
    return true;
  }

  async function runFor(seconds: number, perSecond: number): Promise<number> {
    let refused = 0;
    for (const end = count + seconds * perSecond; count < end; ) {
      const ids = Array.from({ length: Math.min(AT_ONCE, end - count) }, () => count++);
      pass((ids.length / perSecond) * 1000);
      refused += (await Promise.all(ids.map(run))).filter((done) => !done).length;
      if (count % (perSecond * 60) < AT_ONCE) journal.maintain();
    }
    return refused;
  }

  /** How many of some commands of all are known to be done. */
  async function known(step: number): Promise<number> {
    let found = 0;
    for (let id = 0; id < count; id += step) {
      const one = await find(journal, id);
      if (one?.kind === 'ended' || (one?.kind === 'forgotten' && one.outcome === 'done')) found++;
    }
    return found / Math.ceil(count / step);
  }

  return { journal, runFor, known };
}

describe('with the defaults', () => {
  it('the outcome of each command is known for an hour at 20 a second, and none is busy, also at 40 a second', async () => {
    const { journal, runFor, known } = await open();
    expect(await runFor(3600, 20)).toBe(0);
    expect(await known(97)).toBe(1);
    expect(await runFor(600, 40)).toBe(0);
    expect(await known(997)).toBe(1);
    expect(journal.size.entries).toBeLessThanOrEqual(10_000);
    expect(journal.size.remembered).toBe(72_000 + 24_000);
    // New ones are not taken for repeats.
    for (let id = 1_000_000; id < 1_000_200; id++) expect(await find(journal, id)).toBeUndefined();
  }, 120_000);

  it('the outcome of each command is known at 10 a second, and none is busy', async () => {
    const { journal, runFor, known } = await open();
    const seconds = Number(SOAK_HOURS) * 3600;
    expect(await runFor(seconds, 10)).toBe(0);
    expect(journal.size.remembered).toBe(10 * seconds);
    expect(await known(997)).toBe(1);
  }, 1_800_000);

  it('that is what the documents say', () => {
    expect(REMEMBERED).toContain('one hour at 20 commands/s');
    expect(REMEMBERED).toContain('one day at 10 commands/s');
  });
});
