import { expect, test } from 'vitest';
import { evictOldest } from '../../../sender/base/evict-oldest.js';

test('evictOldest deletes the keys of a set or a map that were added first, down to the maximum', () => {
  const set = new Set(['a', 'b', 'c']);
  evictOldest(set, 2);
  expect([...set]).toEqual(['b', 'c']);
  const map = new Map([
    ['a', 1],
    ['b', 2],
    ['c', 3],
  ]);
  map.delete('a');
  map.set('a', 4);
  evictOldest(map, 1);
  expect([...map]).toEqual([['a', 4]]);
});

test('evictOldest leaves a collection alone that is not too large', () => {
  const set = new Set(['a', 'b']);
  evictOldest(set, 2);
  expect([...set]).toEqual(['a', 'b']);
});
