import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../support/files.js';
import {
  accept,
  command,
  ENDED,
  findIn,
  finish,
  keyOf,
  live,
  openTestJournal,
  standingClock,
  start,
  told,
} from './support.js';

const LIMITS = { keepMs: 0, entries: 10, bytes: 1e6, identities: 1000 };
const FORGOTTEN = { kind: 'forgotten', outcome: 'done', code: undefined };

describe('at the bound of commands that are kept whole', () => {
  it('the oldest keep their outcome only, and no command is refused', async () => {
    const folder = temporaryFolder();
    const { clock } = standingClock();
    const { database, journal } = await openTestJournal(folder, clock, LIMITS);
    for (let id = 0; id < 300; id++) expect(await live(journal, id)).toEqual([undefined, undefined, undefined]);
    await database.flush();
    expect(journal.size.entries).toBeLessThanOrEqual(LIMITS.entries);
    expect(journal.size.remembered).toBe(300);
    for (let id = 0; id < 280; id++) expect(await findIn(journal, keyOf(id))).toEqual(FORGOTTEN);
    expect(await findIn(journal, keyOf(300))).toBeUndefined();
    await database.close();
    const after = await openTestJournal(folder, clock, LIMITS);
    expect(after.journal.size.remembered).toBe(300);
    for (let id = 0; id < 280; id++) expect(await findIn(after.journal, keyOf(id))).toEqual(FORGOTTEN);
    expect(await findIn(after.journal, keyOf(300))).toBeUndefined();
    for (let id = 300; id < 330; id++) await live(after.journal, id);
    for (let id = 0; id < 300; id++)
      expect(await findIn(after.journal, keyOf(id))).toMatchObject({
        kind: expect.stringMatching(/^(forgotten|ended)$/),
      });
  });

  it('each outcome is kept, and that nothing was answered', async () => {
    const { journal } = await openTestJournal(temporaryFolder(), standingClock().clock, { ...LIMITS, entries: 1 });
    await accept(journal, 1);
    await told((done) =>
      journal.finish(keyOf(1), { outcome: 'failed', code: 'handler-failed', reply: Buffer.from('x') }, done),
    );
    await told((done) =>
      journal.refuse(command(2), { outcome: 'refused', code: 'busy', reply: Buffer.from('x') }, done),
    );
    await accept(journal, 3);
    await told((done) => journal.finish(keyOf(3), { outcome: 'done' }, done));
    await live(journal, 4);
    expect(await findIn(journal, keyOf(1))).toEqual({ kind: 'forgotten', outcome: 'failed', code: 'handler-failed' });
    expect(await findIn(journal, keyOf(2))).toEqual({ kind: 'forgotten', outcome: 'refused', code: 'busy' });
    expect(await findIn(journal, keyOf(3))).toEqual({ kind: 'ended', reply: undefined });
  });

  it('commands that have not ended are refused above it, and none of them is packed', async () => {
    const { journal } = await openTestJournal(temporaryFolder(), standingClock().clock, LIMITS);
    for (let id = 0; id < LIMITS.entries; id++) await accept(journal, id);
    expect(await accept(journal, 100)).toMatchObject({
      code: 'busy',
      message: expect.stringContaining('have not ended'),
    });
    await start(journal, 0);
    expect(await finish(journal, 0)).toBeUndefined();
    expect(await accept(journal, 100)).toBeUndefined();
    for (let id = 1; id < LIMITS.entries; id++) expect(await findIn(journal, keyOf(id))).toEqual({ kind: 'running' });
    expect(journal.size).toMatchObject({ live: LIMITS.entries });
  });

  it('bytes count as well, with what a command may still grow by', async () => {
    const { journal } = await openTestJournal(temporaryFolder(), standingClock().clock, { ...LIMITS, bytes: 12_000 });
    const results = [];
    for (let id = 0; id < 5; id++) results.push((await accept(journal, id, { request: Buffer.alloc(1300) }))?.code);
    expect(results).toEqual([undefined, undefined, undefined, 'busy', 'busy']);
    expect(journal.size.bytes).toBeLessThanOrEqual(12_000);
    for (let id = 0; id < 3; id++) await finish(journal, id);
    for (let id = 10; id < 60; id++) expect(await live(journal, id)).toEqual([undefined, undefined, undefined]);
    expect(journal.size.bytes).toBeLessThanOrEqual(12_000);
  });
});

describe('at the bound of all that is remembered', () => {
  const limits = { ...LIMITS, identities: 90 };

  it('commands are refused as busy rather than that one is forgotten of which repeats may come', async () => {
    const { clock, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, limits);
    for (let id = 0; id < 100; id++) expect(await live(journal, id)).toEqual([undefined, undefined, undefined]);
    expect(await accept(journal, 100)).toMatchObject({ code: 'busy', message: expect.stringContaining('repeats') });
    expect(await findIn(journal, keyOf(0))).toEqual(FORGOTTEN);
    pass(2000);
    expect(await accept(journal, 100)).toBeUndefined();
    expect(await findIn(journal, keyOf(0))).toBeUndefined();
    expect(await findIn(journal, keyOf(99))).toBeDefined();
  });

  it('an address that has had three quarters of it taken in is refused, and another is not', async () => {
    const { journal } = await openTestJournal(temporaryFolder(), standingClock().clock, limits);
    const from = (address: string) => ({ source: { address, port: 6969 } });
    for (let id = 0; id < 75; id++) await live(journal, id, from('192.0.2.66'));
    expect(await accept(journal, 75, from('192.0.2.66'))).toMatchObject({
      code: 'busy',
      message: expect.stringContaining('192.0.2.66'),
    });
    for (let id = 76; id < 88; id++)
      expect(await live(journal, id, from('192.0.2.1'))).toEqual([undefined, undefined, undefined]);
  });

  it.each([
    ['ahead', { wall: 9e12 }],
    ['back', { wall: 0 }],
    ['ahead, in another boot', { wall: 9e12, monotonic: 10, boot: 'second' }],
    ['back, in another boot', { wall: 0, monotonic: 10, boot: 'second' }],
  ])('a clock that jumps %s makes it forget nothing', async (_, jump) => {
    const { clock, set, pass } = standingClock();
    const { journal } = await openTestJournal(temporaryFolder(), clock, limits);
    for (let id = 0; id < 100; id++) await live(journal, id);
    set(jump);
    expect(await accept(journal, 100)).toMatchObject({ code: 'busy' });
    journal.maintain();
    for (let id = 0; id < 100; id++) expect(await findIn(journal, keyOf(id))).toBeDefined();
    pass(3000);
    expect(await accept(journal, 101)).toBeUndefined();
  });
});

describe('an entry whose row and whose identity are on the disk', () => {
  it('is found whichever of a full group it is', async () => {
    const { journal } = await openTestJournal(temporaryFolder(), standingClock().clock, { ...LIMITS, entries: 1000 });
    await Promise.all(Array.from({ length: 250 }, (_, id) => live(journal, id)));
    for (let id = 0; id < 250; id++) expect(await findIn(journal, keyOf(id))).toEqual(ENDED);
  });
});
