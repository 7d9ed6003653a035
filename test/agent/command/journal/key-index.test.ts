import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createKeyIndex } from '../../../../agent/command/journal/key-index.js';
import { SEED } from '../../../support/seed.js';
import { keyOf } from './support.js';

/** The same by a Map of sets. */
function createModel() {
  const numbers = new Map<number, Set<number>>();
  return {
    add(hash: number, number: number): void {
      numbers.set(hash, (numbers.get(hash) ?? new Set()).add(number));
    },
    remove(hash: number, number: number): boolean {
      return numbers.get(hash)?.delete(number) === true;
    },
    find: (hash: number): number[] => [...(numbers.get(hash) ?? [])].sort(byValue),
    get size() {
      return [...numbers.values()].reduce((sum, { size }) => sum + size, 0);
    },
  };
}

const byValue = (one: number, other: number) => one - other;

/** Few hashes, which collide, lie in the same places at the end of a part, or wrap around to its start. */
const hashes = fc.oneof(
  fc.constantFrom(1, 2, 3, 15, 31, 63, 0xffffffff, 0xfffffffe, 0x0fffffff, 0x80000000),
  fc.integer({ min: 0, max: 40 }).map((low) => 0x04000000 * (low & 3) + 15 + 16 * low),
);
const steps = fc.array(
  fc.record({ kind: fc.constantFrom('add', 'add', 'remove'), hash: hashes, number: fc.integer({ min: 0, max: 30 }) }),
  { maxLength: 400 },
);

describe('the index of the journal’s keys', () => {
  it('finds what a Map finds, whatever is added and removed', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const index = createKeyIndex();
        const model = createModel();
        const used = new Set<number>();
        for (const { kind, hash, number } of all) {
          used.add(hash);
          if (kind === 'remove') {
            index.remove(hash, number);
            model.remove(hash, number);
          } else if (!model.find(hash).includes(number)) {
            index.add(hash, number);
            model.add(hash, number);
          }
        }
        for (const hash of used) expect([...index.find(hash)].sort(byValue)).toEqual(model.find(hash));
        expect(index.size).toBe(model.size);
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('loses no number when it grows, nor when it shrinks', () => {
    const index = createKeyIndex();
    const count = 50_000;
    const hashes = Array.from({ length: count }, (_, id) => index.hashOf(keyOf(id)));
    for (const [id, hash] of hashes.entries()) index.add(hash, id);
    expect(index.size).toBe(count);
    expect(hashes.filter((hash, id) => !index.find(hash).includes(id))).toEqual([]);
    for (const [id, hash] of hashes.slice(0, count / 2).entries()) index.remove(hash, id);
    expect(index.size).toBe(count / 2);
    expect(hashes.filter((hash, id) => index.find(hash).includes(id) !== id >= count / 2)).toEqual([]);
  });

  it('finds next to nothing for keys that were not added', () => {
    const index = createKeyIndex();
    for (let id = 0; id < 10_000; id++) index.add(index.hashOf(keyOf(id)), id);
    const others = Array.from({ length: 10_000 }, (_, id) => index.find(index.hashOf(keyOf(20_000 + id))));
    expect(others.filter((found) => found.length > 0).length).toBeLessThan(5);
  });

  it('hashes each key to the same, other than another index does, and never to nothing', () => {
    const [one, other] = [createKeyIndex(), createKeyIndex()];
    const keys = Array.from({ length: 100 }, (_, id) => keyOf(id));
    expect(keys.map(one.hashOf)).toEqual(keys.map(one.hashOf));
    expect(keys.map(one.hashOf)).not.toEqual(keys.map(other.hashOf));
    expect(one.hashOf(new Uint8Array(32))).toBeGreaterThan(0);
  });
});
