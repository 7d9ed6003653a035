import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ListFilters } from '../../../sender/api/client.js';
import { pollingReplies } from '../../../sender/index.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import { ipCommand, json, makeClient, rejection, startApi } from '../support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

type Pages = readonly (readonly IpCommand[])[];

const from = (number: number) => ipCommand(number, { direction: 'from_sim', status: 'received' });

/** A list that the test changes. */
function makeList(pages: Pages = []) {
  const list = { pages, error: undefined as Error | undefined, asked: [] as (string | undefined)[], read: 0 };
  const client = {
    async *pages({ sim }: ListFilters = {}) {
      list.asked.push(sim);
      if (list.error !== undefined) throw list.error;
      for (const page of list.pages) {
        list.read++;
        yield page;
      }
    },
  };
  return Object.assign(list, { client });
}

function makeListener() {
  const heard: string[] = [];
  const counts = { called: 0, troubles: [] as unknown[] };
  return {
    heard,
    counts,
    listener: {
      onCommand: ({ sid, status }: IpCommand) => void heard.push(`${Number.parseInt(sid.slice(2), 16)} ${status}`),
      onApiCall: () => {
        counts.called++;
      },
      onError: (error: unknown) => void counts.troubles.push(error),
    },
  };
}

const look = () => vi.advanceTimersByTimeAsync(1000);
const poll = (list: ReturnType<typeof makeList>, maxPages = 3) =>
  pollingReplies(list.client, { interval: 1000, maxPages, sleep: fakeSleep });

/** The promise of node:timers is not faked. */
const fakeSleep = (ms: number, signal?: AbortSignal) =>
  new Promise<void>((resolve, reject) => {
    setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

describe('pollingReplies', () => {
  it('reports commands that are new since the subscription, oldest first, each once', async () => {
    const list = makeList([[from(2), from(1)]]);
    const { listener, heard, counts } = makeListener();
    const leave = await poll(list).listen('gateway-1', listener);
    await look();
    list.pages = [[from(4), from(3), from(2), from(1)]];
    await look();
    await look();
    expect(heard).toEqual(['3 received', '4 received']);
    expect(counts.called).toBe(4);
    leave();
  });

  it('reports to_sim commands when their status changes', async () => {
    const list = makeList([]);
    const { listener, heard } = makeListener();
    const leave = await poll(list).listen('gateway-1', listener);
    for (const status of ['queued', 'queued', 'failed'] as const) {
      list.pages = [[ipCommand(1, { status })]];
      await look();
    }
    expect(heard).toEqual(['1 queued', '1 failed']);
    leave();
  });

  it('reads pages until one holds a known SID, in any order', async () => {
    const list = makeList([[from(1)], [from(0)]]);
    const { listener, heard } = makeListener();
    const leave = await poll(list).listen('gateway-1', listener);
    expect(list.read).toBe(1);
    list.pages = [[from(4), from(5)], [from(3), from(1), from(2)], [from(0)]];
    await look();
    expect(list.read).toBe(3);
    expect(heard.toSorted()).toEqual(['2 received', '3 received', '4 received', '5 received']);
    leave();
  });

  it('reads a bounded number of pages', async () => {
    const list = makeList([[from(1)]]);
    const leave = await poll(list, 3).listen('gateway-1', makeListener().listener);
    list.pages = Array.from({ length: 9 }, (_, index) => [from(100 - index)]);
    await look();
    expect(list.read).toBe(1 + 3);
    leave();
  });

  it('remembers a bounded number of commands, the newest among them', async () => {
    const list = makeList([]);
    const { listener, heard } = makeListener();
    const leave = await poll(list, 1).listen('gateway-1', listener);
    for (let round = 1; round <= 4; round++) {
      list.pages = [Array.from({ length: 100 }, (_, index) => from(round * 100 - index))];
      await look();
    }
    expect(heard).toHaveLength(400);
    await look();
    expect(heard).toHaveLength(400);
    list.pages = [[from(100)]];
    await look();
    expect(heard).toHaveLength(401);
    leave();
  });

  it('reads once for all listeners of a SIM, and separately for each SIM', async () => {
    const list = makeList([]);
    const [one, two, other] = [makeListener(), makeListener(), makeListener()];
    const source = poll(list);
    const leaves = await Promise.all([
      source.listen('north', one.listener),
      source.listen('north', two.listener),
      source.listen('south', other.listener),
    ]);
    expect(list.asked).toEqual(['north', 'south']);
    list.pages = [[from(1)]];
    await look();
    expect(list.asked.slice(2).toSorted()).toEqual(['north', 'south']);
    expect([one.heard, two.heard, other.heard]).toEqual(Array(3).fill(['1 received']));
    for (const leave of leaves) leave();
  });

  it('stops without listeners, and starts again with the next', async () => {
    const list = makeList([]);
    const source = poll(list);
    const [one, two] = [makeListener(), makeListener()];
    const leaveOne = await source.listen('north', one.listener);
    const leaveTwo = await source.listen('north', two.listener);
    leaveOne();
    leaveOne();
    list.pages = [[from(1)]];
    await look();
    expect([one.heard, two.heard]).toEqual([[], ['1 received']]);
    leaveTwo();
    const looks = list.asked.length;
    await look();
    expect(list.asked).toHaveLength(looks);
    const three = makeListener();
    const leave = await source.listen('north', three.listener);
    await look();
    expect(three.heard).toEqual([]);
    leave();
  });

  it('reports errors, and continues polling', async () => {
    const list = makeList([]);
    const { listener, heard, counts } = makeListener();
    const leave = await poll(list).listen('north', listener);
    list.error = new Error('down');
    await look();
    list.error = undefined;
    list.pages = [[from(1)]];
    await look();
    expect(counts.troubles).toEqual([expect.objectContaining({ message: 'down' })]);
    expect(heard).toEqual(['1 received']);
    leave();
  });

  it('rejects listen() when the first read fails, and not the next one', async () => {
    const list = makeList([]);
    list.error = new Error('down');
    const source = poll(list);
    const both = [makeListener(), makeListener()].map(({ listener }) => rejection(source.listen('north', listener)));
    expect(await Promise.all(both)).toEqual([list.error, list.error]);
    list.error = undefined;
    (await source.listen('north', makeListener().listener))();
  });

  it('reads pages of both directions', async () => {
    vi.useRealTimers();
    const api = await startApi((response) =>
      json(response, 200, { ip_commands: [from(1)], meta: { next_page_url: null } }),
    );
    (await pollingReplies(makeClient(api.url).client).listen('gateway-1', makeListener().listener))();
    expect(api.seen.map(({ url }) => url)).toEqual(['/v1/IpCommands?Sim=gateway-1&PageSize=100']);
  });
});
