import { describe, expect, it } from 'vitest';
import { JOURNAL_OUTCOMES } from '../../../../agent/command/journal/entry.js';
import {
  addIdentity,
  createGroup,
  type Ended,
  GROUP_SIZE,
  identityAt,
  keyAt,
  readGroup,
  writeGroup,
} from '../../../../agent/command/journal/identities.js';
import { DamagedError } from '../../../../agent/storage/sqlite.js';
import { FINAL_CODES } from '../../../../shared/errors.js';
import { keyOf, standingClock } from './support.js';

const NOW = standingClock().clock();
const ended = (id: number, change: Partial<Ended> = {}): Ended => ({
  seq: id,
  key: keyOf(id),
  outcome: 'done',
  code: null,
  hadReply: true,
  finished: NOW,
  lifetimeMs: 1000,
  bytes: 1,
  ...change,
});

describe('a group of identities', () => {
  it('is read as it was written, with each outcome and each code that a reply can have', () => {
    const all = JOURNAL_OUTCOMES.flatMap((outcome) =>
      [null, ...FINAL_CODES].flatMap((code) => [true, false].map((hadReply) => ({ outcome, code, hadReply }))),
    );
    for (let at = 0; at < all.length; at += GROUP_SIZE) {
      const some = all.slice(at, at + GROUP_SIZE);
      const group = createGroup(at, NOW);
      for (const [index, change] of some.entries()) addIdentity(group, ended(at + index, change));
      const read = readGroup(at, writeGroup(group));
      expect(read).toMatchObject({ first: at, count: some.length, finished: NOW, lifetimeMs: 1000 });
      for (const [index, { outcome, code, hadReply }] of some.entries()) {
        expect(keyAt(read, index)).toEqual(keyOf(at + index));
        expect(identityAt(read, index)).toEqual({ outcome, code: code ?? undefined, hadReply });
      }
    }
  });

  it('has no code that no reply can have, and interrupted for what has no outcome', () => {
    const group = createGroup(0, NOW);
    addIdentity(group, ended(1, { outcome: null, code: 'of another version' }));
    expect(identityAt(group, 0)).toEqual({ outcome: 'interrupted', code: undefined, hadReply: true });
  });

  it('may be forgotten when the last of its commands may, and is kept for the longest time of any', () => {
    const group = createGroup(0, NOW);
    const later = { ...NOW, monotonic: NOW.monotonic + 5000 };
    addIdentity(group, ended(1, { lifetimeMs: 9000 }));
    addIdentity(group, ended(2, { finished: later }));
    expect(group).toMatchObject({ finished: later, lifetimeMs: 9000 });
  });

  it('takes about as much as a page of the database', () => {
    const group = createGroup(0, NOW);
    for (let id = 0; id < GROUP_SIZE; id++) addIdentity(group, ended(id));
    expect(writeGroup(group).length).toBeLessThan(4096);
  });

  it('of another row, or with another number of identities, is damage', () => {
    const group = createGroup(7, NOW);
    addIdentity(group, ended(1));
    const record = writeGroup(group);
    expect(() => readGroup(8, record)).toThrow(DamagedError);
    expect(() => readGroup(7, writeGroup({ ...group, count: 2, bytes: group.bytes.subarray(0, 36) }))).toThrow(
      DamagedError,
    );
  });
});
