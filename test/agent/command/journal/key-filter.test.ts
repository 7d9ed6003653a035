import { describe, expect, it } from 'vitest';
import { createKeyFilter, PREFIX_BYTES } from '../../../../agent/command/journal/key-filter.js';
import { keyOf } from './support.js';

const ENTRIES = 1000;
const keys = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => keyOf(from + index));
const prefixesOf = (some: readonly Buffer[]) => Buffer.concat(some.map((key) => key.subarray(0, PREFIX_BYTES)));

describe('the filter of the journal’s keys', () => {
  it('lets any key be there until it is filled', () => {
    const filter = createKeyFilter(ENTRIES);
    expect(filter.mayHave(keyOf(1))).toBe(true);
    expect(filter.isWorn).toBe(true);
    filter.fill(new Uint8Array());
    expect(filter.mayHave(keyOf(1))).toBe(false);
    expect(filter.isWorn).toBe(false);
  });

  it('never denies a key that is there, and denies nearly all others', () => {
    const filter = createKeyFilter(ENTRIES);
    const there = keys(0, ENTRIES);
    filter.fill(prefixesOf(there.slice(0, 500)));
    for (const key of there.slice(500)) filter.add(key);
    expect(there.every(filter.mayHave)).toBe(true);
    expect(keys(ENTRIES, 11 * ENTRIES).filter(filter.mayHave).length).toBeLessThan(0.05 * 10 * ENTRIES);
  });

  it('is worn by as many keys as there may be entries, and filled afresh denies those that went', () => {
    const filter = createKeyFilter(ENTRIES);
    filter.fill(new Uint8Array());
    for (const key of keys(0, ENTRIES - 1)) filter.add(key);
    expect(filter.isWorn).toBe(false);
    filter.add(keyOf(ENTRIES - 1));
    expect(filter.isWorn).toBe(true);
    filter.fill(prefixesOf([keyOf(7)]));
    expect([filter.isWorn, filter.mayHave(keyOf(7)), filter.mayHave(keyOf(8))]).toEqual([false, true, false]);
  });

  it('takes the last place of its bits too', () => {
    const filter = createKeyFilter(ENTRIES);
    filter.fill(new Uint8Array());
    const last = Buffer.alloc(32);
    last.writeUInt32BE(ENTRIES * 32 - 1);
    filter.add(last);
    expect(filter.mayHave(last)).toBe(true);
  });
});
