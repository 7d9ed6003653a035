import { describe, expect, it } from 'vitest';
import type { ListFilters } from '../../../sender/api/client.js';
import { createListTail } from '../../../sender/replies/list-tail.js';
import { MAX_WATCH_PAGES, MAX_WATCHED_COMMANDS } from '../../../sender/replies/watch.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import { ipCommand, rejection } from '../support.js';

type Pages = readonly (readonly IpCommand[])[];

/** A tail of a list that the test changes. */
function makeTail(maxKnown = 1000) {
  const list = { pages: [] as Pages, error: undefined as Error | undefined, filters: [] as ListFilters[], read: 0 };
  const client = {
    async *pages(filters: ListFilters = {}) {
      list.filters.push(filters);
      for (const page of list.pages) {
        list.read++;
        yield page;
      }
      if (list.error !== undefined) throw list.error;
    },
  };
  const onPage = () => void calls.count++;
  const calls = { count: 0 };
  const read = createListTail(client, { filters: { sim: 'gateway-1' }, maxKnown, onPage });
  const news = async (pages: Pages, maxPages = 10) => {
    list.pages = pages;
    const { news: commands, complete } = await read(maxPages * 100);
    return { given: commands.map(({ sid }) => Number.parseInt(sid.slice(2), 16)), complete };
  };
  return { list, calls, news, read };
}

const to = (number: number, status: IpCommand['status'] = 'sent') => ipCommand(number, { status });
const numbers = (from: number, until: number) => Array.from({ length: from - until + 1 }, (_, i) => to(from - i));

describe('the tail of a list', () => {
  it('gives what is new, oldest first, each once', async () => {
    const { news, list } = makeTail();
    expect(await news([[to(2), to(1)]])).toEqual({ given: [1, 2], complete: true });
    expect(await news([[to(2), to(1)]])).toEqual({ given: [], complete: true });
    expect(await news([[to(4), to(3)], [to(3), to(2)], [to(1)]])).toEqual({ given: [3, 4], complete: true });
    expect(list.filters[0]).toEqual({ sim: 'gateway-1', pageSize: 100 });
  });

  it('gives a known command again when its status has changed', async () => {
    const { news } = makeTail();
    await news([[to(2, 'queued'), to(1)]]);
    expect((await news([[to(2, 'failed'), to(1)]])).given).toEqual([2]);
  });

  it('reads pages until one holds a known command, in any order, and counts each', async () => {
    const { news, list, calls } = makeTail();
    await news([[to(1)]]);
    await news([[to(6), to(5)], [to(1), to(4)], [to(0)]]);
    expect([list.read, calls.count]).toEqual([3, 3]);
  });

  it('is incomplete when it stopped at the maximum of pages before a known command', async () => {
    const { news, list } = makeTail();
    expect(await news([[to(2)], [to(1)]], 1)).toEqual({ given: [2], complete: false });
    expect((await news([[to(9)], [to(8)], [to(7)]], 2)).complete).toBe(false);
    expect((await news([[to(12)], [to(9)], [to(8)]], 2)).complete).toBe(true);
    expect(list.read).toBe(1 + 2 + 2);
  });

  it('gives the news of each page before the next is read, each command once, also after a read that failed', async () => {
    const { list, read } = makeTail();
    list.pages = [[to(1)]];
    await read(1000);
    const given: number[][] = [];
    const onNews = (commands: readonly IpCommand[]) =>
      void given.push([list.read, ...commands.map(({ sid }) => Number.parseInt(sid.slice(2), 16))]);
    list.pages = [
      [to(5), to(4)],
      [to(3), to(2)],
    ];
    list.error = new Error('unreachable');
    expect(await rejection(read(1000, onNews))).toBe(list.error);
    list.error = undefined;
    list.pages = [
      [to(6), to(5)],
      [to(4, 'failed'), to(3)],
      [to(2), to(1)],
    ];
    await read(1000, onNews);
    expect(given).toEqual([[2, 4, 5], [3, 2, 3], [4, 6], [5, 4], [6]]);
  });

  it('asks for longer pages where the last read has brought many commands', async () => {
    const list = { size: 0, asked: [] as (number | undefined)[] };
    const client = {
      async *pages({ pageSize = 0 }: ListFilters = {}) {
        list.asked.push(pageSize);
        for (let newest = list.size; newest > 0; newest -= pageSize)
          yield numbers(newest, Math.max(1, newest - pageSize + 1));
      },
    };
    const read = createListTail(client, { filters: {}, maxKnown: 10_000, maxPageSize: 1000 });
    for (const size of [1, 301, 302, 2000, 2001]) {
      list.size = size;
      await read(5000);
    }
    expect(list.asked).toEqual([100, 100, 600, 100, 1000]);
  });

  it('remembers nothing of a read that fails', async () => {
    const { news, list, read } = makeTail();
    list.error = new Error('unreachable');
    list.pages = [[to(2), to(1)]];
    expect(await rejection(read(1000))).toBe(list.error);
    list.error = undefined;
    expect((await news([[to(2), to(1)]])).given).toEqual([1, 2]);
  });

  it('forgets the oldest first, and never what the last read saw', async () => {
    const { news } = makeTail(3);
    await news([[to(2), to(1)]]);
    await news([[to(4), to(3), to(1)]]);
    expect((await news([[to(4), to(3), to(2), to(1)]])).given).toEqual([2]);
  });

  it('remembers a bounded number of commands, more than one read of `supersim watch` can bring', async () => {
    expect(MAX_WATCHED_COMMANDS).toBeGreaterThan(MAX_WATCH_PAGES * 100);
    const { news } = makeTail(MAX_WATCHED_COMMANDS);
    for (let i = 0; i < 3; i++) await news([numbers(MAX_WATCHED_COMMANDS * (i + 1), MAX_WATCHED_COMMANDS * i + 1)]);
    expect((await news([numbers(3 * MAX_WATCHED_COMMANDS, 1)])).given).toHaveLength(2 * MAX_WATCHED_COMMANDS);
  });
});
