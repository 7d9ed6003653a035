import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PAGE_TOKEN, pageOf } from '../../../loopback/account/paging.js';

const sid = (n: number) => `HG${n.toString(16).padStart(32, '0')}`;
/** Newest first: n, n-1 … 1. */
const list = (n: number) => Array.from({ length: n }, (_, index) => ({ sid: sid(n - index) }));
const all = () => true;
const sids = (items: readonly { sid: string }[]) => items.map((item) => item.sid);

test('a list that fits on a page has no other page', () => {
  expect(pageOf(list(3), all, { pageSize: 3, page: 0 })).toEqual({ items: list(3) });
  expect(pageOf([], all, { pageSize: 3, page: 0 })).toEqual({ items: [] });
});

test('paging forth and back returns every item once, whatever the sizes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 10 }), (length, pageSize) => {
      const items = list(length);
      const forth: string[] = [];
      let page = pageOf(items, all, { pageSize, page: 0 });
      forth.push(...sids(page.items));
      while (page.nextToken) {
        expect(page.nextToken).toMatch(PAGE_TOKEN);
        page = pageOf(items, all, { pageSize, page: 0, pageToken: page.nextToken });
        forth.push(...sids(page.items));
      }
      const back = sids(page.items).reverse();
      while (page.previousToken) {
        expect(page.previousToken).toMatch(PAGE_TOKEN);
        page = pageOf(items, all, { pageSize, page: 0, pageToken: page.previousToken });
        back.push(...sids(page.items).reverse());
      }
      expect(forth).toEqual(sids(items));
      expect(back.reverse()).toEqual(sids(items));
    }),
  );
});

test('pages stay the same while new resources arrive', () => {
  const first = pageOf(list(7), all, { pageSize: 3, page: 0 });
  const second = pageOf(list(9), all, { pageSize: 3, page: 1, pageToken: first.nextToken });
  expect(sids(second.items)).toEqual([sid(4), sid(3), sid(2)]);
});

test('a filter applies before the page is cut, and an empty page is not offered', () => {
  const odd = (item: { sid: string }) => Number.parseInt(item.sid.slice(-1), 16) % 2 === 1;
  const page = pageOf(list(6), odd, { pageSize: 2, page: 0 });
  expect(sids(page.items)).toEqual([sid(5), sid(3)]);
  const last = pageOf(list(6), odd, { pageSize: 2, page: 1, pageToken: page.nextToken });
  expect(sids(last.items)).toEqual([sid(1)]);
  expect(last.nextToken).toBeUndefined();
  expect(page.previousToken).toBeUndefined();
});

test('a token whose resource was evicted leads to nothing after it, and to the oldest before it', () => {
  const kept = list(6).slice(0, 3);
  expect(pageOf(kept, all, { pageSize: 2, page: 1, pageToken: `PA${sid(2)}` }).items).toEqual([]);
  expect(sids(pageOf(kept, all, { pageSize: 2, page: 1, pageToken: `PB${sid(2)}` }).items)).toEqual([sid(5), sid(4)]);
});
