import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ListFilters, PAGE_SIZE } from '../../../sender/api/client.js';
import { accountReplies, LINGER_MS, MAX_ACCOUNT_READ, MAX_UNCLAIMED } from '../../../sender/replies/account-polling.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import { ipCommand, rejection } from '../support.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const INTERVAL = 1000;
const simSid = (number: number) => `HS${number.toString(16).padStart(32, '0')}`;

const from = (number: number, sim: number): IpCommand =>
  ipCommand(number, { sim_sid: simSid(sim), direction: 'from_sim', status: 'received', payload: `from ${sim}` });

const failed = (number: number, sim: number): IpCommand =>
  ipCommand(number, { sim_sid: simSid(sim), direction: 'to_sim', status: 'failed' });

/** An account whose list the test plays: newest first, as the API gives it. */
function setUp() {
  const commands: IpCommand[] = [];
  const state = { error: undefined as Error | undefined, pages: 0, looks: 0, pageMs: 0 };
  const client = {
    async *pages({ direction, status, pageSize = 0 }: ListFilters = {}) {
      state.looks++;
      if (state.error !== undefined) throw state.error;
      const matching = commands
        .filter((one) => direction === undefined || one.direction === direction)
        .filter((one) => status === undefined || one.status === status)
        .reverse();
      for (let start = 0; start === 0 || start < matching.length; start += pageSize) {
        state.pages++;
        if (state.pageMs > 0) await new Promise((resolve) => setTimeout(resolve, state.pageMs));
        yield matching.slice(start, start + pageSize);
      }
    },
  };
  const sleep = (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      setTimeout(resolve, ms);
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  return { replies: accountReplies(client, { interval: INTERVAL, sleep }), commands, state };
}

function makeListener() {
  const heard: string[] = [];
  const troubles: unknown[] = [];
  let calls = 0;
  return {
    heard,
    troubles,
    calls: () => calls,
    listener: {
      onCommand: ({ sid, status }: Pick<IpCommand, 'sid' | 'status'>) =>
        void heard.push(`${Number.parseInt(sid.slice(2), 16)} ${status}`),
      onApiCall: () => {
        calls++;
      },
      onError: (error: unknown) => void troubles.push(error),
    },
  };
}

const look = () => vi.advanceTimersByTimeAsync(INTERVAL);

describe('accountReplies', () => {
  it('reports new commands to the listeners of their SIM, oldest first, each once', async () => {
    const { replies, commands, state } = setUp();
    commands.push(from(1, 1));
    const [one, two] = [makeListener(), makeListener()];
    await replies.listen(simSid(1), one.listener);
    await replies.listen(simSid(2), two.listener);
    commands.push(from(2, 1), from(3, 2), from(4, 1), failed(5, 2));
    await look();
    await look();
    expect(one.heard).toEqual(['2 received', '4 received']);
    expect(two.heard).toEqual(['3 received', '5 failed']);
    // Two lists a look, whatever the number of those who wait.
    expect(state.looks).toBe(6);
    expect(one.calls() + two.calls()).toBe(state.pages);
    replies.end();
  });

  it('reports commands to listeners by unique name, also those that arrived before the SID was known', async () => {
    const { replies, commands } = setUp();
    const { listener, heard } = makeListener();
    await replies.listen('gateway-1', listener);
    commands.push(from(1, 1), from(2, 2));
    await look();
    expect(heard).toEqual([]);
    replies.setSimSid?.('gateway-1', simSid(1));
    expect(heard).toEqual(['1 received']);
    replies.setSimSid?.('gateway-1', simSid(1));
    commands.push(from(3, 1));
    await look();
    expect(heard).toEqual(['1 received', '3 received']);
    replies.end();
  });

  it('reports commands to all listeners of a SIM, by name and by SID, until they unsubscribe', async () => {
    const { replies, commands } = setUp();
    const all = [makeListener(), makeListener(), makeListener()];
    const [first, second, third] = all;
    const leave = await replies.listen(simSid(1), first?.listener ?? makeListener().listener);
    await replies.listen(simSid(1), second?.listener ?? makeListener().listener);
    await replies.listen('gateway-1', third?.listener ?? makeListener().listener);
    replies.setSimSid?.('gateway-1', simSid(1));
    commands.push(from(1, 1));
    await look();
    leave();
    leave();
    commands.push(from(2, 1));
    await look();
    expect(all.map(({ heard }) => heard.length)).toEqual([1, 2, 2]);
    replies.end();
  });

  it('finds all of thousands of commands between two reads', async () => {
    const { replies, commands, state } = setUp();
    commands.push(from(1, 99));
    const { listener, heard } = makeListener();
    await replies.listen(simSid(1), listener);
    const many = MAX_ACCOUNT_READ - PAGE_SIZE;
    for (let number = 2; number < many; number++) commands.push(from(number, number % 2));
    await look();
    expect(heard).toHaveLength(many / 2 - 1);
    const { pages } = state;
    await look();
    // Nothing is new: a page of each list.
    expect(state.pages).toBe(pages + 2);
    replies.end();
  });

  it.each([
    [700, 10],
    [1000, 10],
    [2000, 5],
  ])(
    'begins a read a second, where a read takes %i ms, or one after the other: %i in ten seconds',
    async (ms, reads) => {
      const { replies, state } = setUp();
      const { listener } = makeListener();
      await replies.listen(simSid(1), listener);
      state.pageMs = ms;
      await look();
      const before = state.pages;
      await vi.advanceTimersByTimeAsync(10 * INTERVAL + 50);
      expect((state.pages - before) / 2).toBe(reads);
      replies.end();
    },
  );

  it('keeps a bounded number of commands of SIMs without a listener', async () => {
    const { replies, commands } = setUp();
    const { listener, heard } = makeListener();
    await replies.listen('gateway-1', listener);
    commands.push(from(1, 1));
    await look();
    for (let number = 2; number <= MAX_UNCLAIMED + 1; number++) commands.push(from(number, 2));
    for (let turn = 0; turn < 2; turn++) await look();
    commands.push(from(6000, 1));
    await look();
    replies.setSimSid?.('gateway-1', simSid(1));
    expect(heard).toEqual(['6000 received']);
    replies.end();
  });
});

describe('an error of accountReplies', () => {
  it('at the first read rejects listen(), and the next listen() reads again', async () => {
    const { replies, state, commands } = setUp();
    state.error = new Error('down');
    const { listener, heard } = makeListener();
    expect(await rejection(replies.listen('a', listener))).toBe(state.error);
    state.error = undefined;
    await replies.listen(simSid(1), listener);
    commands.push(from(1, 1));
    await look();
    expect(heard).toEqual(['1 received']);
    replies.end();
  });

  it('at a later read is reported to all listeners, and polling continues', async () => {
    const { replies, state, commands } = setUp();
    const all = [makeListener(), makeListener()];
    for (const [index, { listener }] of all.entries()) await replies.listen(simSid(index), listener);
    state.error = new Error('down');
    commands.push(from(1, 1));
    await look();
    // Once for each list.
    expect(all.map(({ troubles }) => troubles)).toEqual(all.map(() => [state.error, state.error]));
    state.error = undefined;
    await look();
    expect(all[1]?.heard).toEqual(['1 received']);
    replies.end();
  });
});

describe('the polling of accountReplies', () => {
  it('continues for a while without listeners, and then stops', async () => {
    const { replies, state } = setUp();
    const { listener } = makeListener();
    (await replies.listen('a', listener))();
    await vi.advanceTimersByTimeAsync(LINGER_MS - 1);
    const looks = state.looks;
    expect(looks).toBeGreaterThan(2);
    const leave = await replies.listen('b', listener);
    expect(state.looks).toBe(looks);
    leave();
    await vi.advanceTimersByTimeAsync(LINGER_MS);
    const last = state.looks;
    await vi.advanceTimersByTimeAsync(10 * LINGER_MS);
    expect(state.looks).toBe(last);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stops at once after end()', async () => {
    const { replies, state } = setUp();
    await replies.listen('a', makeListener().listener);
    replies.end();
    const looks = state.looks;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(state.looks).toBe(looks);
  });
});
