import { describe, expect, it } from 'vitest';
import type { ListFilters } from '../../../sender/api/client.js';
import { ApiError } from '../../../sender/index.js';
import { MAX_WATCH_PAGES, watchCommands } from '../../../sender/replies/watch.js';
import { SupersimError } from '../../../shared/errors.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import { collect, ipCommand, rejection } from '../support.js';

/** What one look at the list finds: its pages, or an error. */
type Look = readonly (readonly IpCommand[])[] | Error;

const at = (number: number, second = number): IpCommand =>
  ipCommand(number, {
    direction: 'from_sim',
    date_created: new Date(Date.parse('2026-03-01T12:00:00Z') + second * 1000).toISOString(),
  });

const numbers = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, i) => from - i);

/** Watches a list that changes with each look, until there are no more looks. */
async function watchLooks(looks: readonly Look[]) {
  const abort = new AbortController();
  const log: string[] = [];
  const filters: ListFilters[] = [];
  let look = 0;
  const client = {
    async *pages(asked: ListFilters = {}) {
      filters.push(asked);
      const found = looks[look++] ?? [];
      if (found instanceof Error) throw found;
      for (const [index, page] of found.entries()) {
        log.push(`look ${look} page ${index + 1}`);
        yield page;
      }
    },
  };
  const sleep = async (ms: number) => {
    log.push(`sleep ${ms}`);
    if (look < looks.length) return;
    abort.abort();
    throw new Error('the sleep was aborted');
  };
  const commands = await collect(
    watchCommands(client, {
      interval: 5000,
      signal: abort.signal,
      sleep,
      ready: () => log.push('ready'),
      warn: (message) => log.push(`warn ${message}`),
    }),
  );
  return { given: commands.map(({ sid }) => Number.parseInt(sid.slice(2), 16)), log, filters };
}

const warnings = (log: readonly string[]) => log.filter((line) => line.startsWith('warn'));

describe('watchCommands', () => {
  it('yields a command once also when its status changes', async () => {
    const changed = { ...at(3), status: 'queued' as const };
    const { given } = await watchLooks([
      [[at(1)]],
      [[changed, at(1)]],
      [[at(3), at(1)]],
      [[at(3), { ...at(1), status: 'sent' }]],
    ]);
    expect(given).toEqual([3]);
  });

  it('yields commands that arrive after the first read, oldest first, each once', async () => {
    const { given, log, filters } = await watchLooks([
      [[at(2), at(1)]],
      [[at(2), at(1)]],
      [[at(4), at(3), at(2), at(1)]],
      [[at(5), at(4), at(3), at(2)]],
    ]);
    expect(given).toEqual([3, 4, 5]);
    expect(log.slice(0, 3)).toEqual(['look 1 page 1', 'ready', 'sleep 5000']);
    expect(warnings(log)).toEqual([]);
    expect(filters[0]).toMatchObject({ direction: 'from_sim' });
  });

  it('starts with an empty list', async () => {
    expect((await watchLooks([[], [], [[at(1)]], [[at(1)]]])).given).toEqual([1]);
  });

  it('reads one page first, and later pages until one has a known command', async () => {
    const { given, log } = await watchLooks([
      [[at(2)], [at(1)]],
      [[at(6), at(5)], [at(4), at(3)], [at(2)], [at(1)]],
    ]);
    expect(given).toEqual([3, 4, 5, 6]);
    expect(log.filter((line) => line.startsWith('look'))).toEqual([
      'look 1 page 1',
      'look 2 page 1',
      'look 2 page 2',
      'look 2 page 3',
    ]);
  });

  it('accepts a page in any order', async () => {
    expect((await watchLooks([[[at(1), at(2)]], [[at(1), at(4), at(2), at(3), at(5)]]])).given).toEqual([3, 4, 5]);
  });

  it('yields a command once that moved to the next page meanwhile', async () => {
    expect((await watchLooks([[[at(1)]], [[at(4), at(3)], [at(3), at(2)], [at(1)]]])).given).toEqual([2, 3, 4]);
  });

  it('does not yield commands older than those of the first read', async () => {
    expect((await watchLooks([[[at(9)]], [[at(10), at(1, -60), at(9)]]])).given).toEqual([10]);
  });

  it('yields commands of the same second in the order of the list', async () => {
    expect((await watchLooks([[[at(1, 0)]], [[at(4, 0), at(3, 0), at(2, 0), at(1, 0)]]])).given).toEqual([2, 3, 4]);
  });

  it('warns when commands may have been missed, and continues', async () => {
    const pages = numbers(MAX_WATCH_PAGES + 5, 2).map((number) => [at(number)]);
    const { given, log } = await watchLooks([[[at(1)]], pages, [[at(20), at(15)]]]);
    expect(given).toEqual([...numbers(15, 6).reverse(), 20]);
    expect(warnings(log)).toHaveLength(1);
  });

  it('does not warn when it reached the end of the list', async () => {
    const pages = numbers(MAX_WATCH_PAGES, 2).map((number) => [at(number)]);
    const { given, log } = await watchLooks([[], pages]);
    expect(given).toHaveLength(MAX_WATCH_PAGES - 1);
    expect(warnings(log)).toEqual([]);
  });

  it('retries after errors that may pass, and warns once each time', async () => {
    const unreachable = new SupersimError('api-unreachable', 'no answer');
    const { given, log } = await watchLooks([
      [[at(1)]],
      unreachable,
      new ApiError(503, ''),
      [[at(2), at(1)]],
      new ApiError(429, ''),
      [[at(3), at(2)]],
    ]);
    expect(given).toEqual([2, 3]);
    expect(warnings(log)).toEqual([
      'warn the list cannot be read; retrying: no answer',
      'warn the list cannot be read; retrying: HTTP 429: no message',
    ]);
  });

  it('throws errors of the first read, and those that will not pass', async () => {
    const unreachable = new SupersimError('api-unreachable', 'no answer');
    expect(await rejection(watchLooks([unreachable]))).toBe(unreachable);
    const forbidden = new ApiError(403, '');
    expect(await rejection(watchLooks([[[at(1)]], forbidden]))).toBe(forbidden);
  });
});
