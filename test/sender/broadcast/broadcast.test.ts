import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { FIRST_POSTS, MAX_POSTS_AT_ONCE } from '../../../sender/broadcast/post-limit.js';
import { ApiError, type BroadcastOptions, type BroadcastResult, broadcast } from '../../../sender/index.js';
import { SupersimError } from '../../../shared/errors.js';
import { collect, rejection } from '../support.js';
import { makeFleet, ok, respond, simNames } from './support.js';

const ping = { name: 'ping' };
/** An acknowledgement time-out is 30 ms here. */
const timeScale = 0.001;
const AWAY = new SupersimError('api-unreachable', 'no route');
const BUSY = new ApiError(429, '');

/** Takes results until it ends or fails. */
async function take(results: AsyncIterable<BroadcastResult>) {
  const given: BroadcastResult[] = [];
  const failure = await (async () => {
    for await (const result of results) given.push(result);
  })().catch((error: unknown) => error);
  return { given, failure };
}

const simsOf = (given: readonly BroadcastResult[]) => given.map(({ sim }) => sim).sort();

describe('broadcast', () => {
  it('yields an outcome for each SIM of a list, a stream or a Fleet', async () => {
    const { client, replies } = makeFleet(respond('2.04', 'yes'));
    const options = { client, replies };
    const streamed = (async function* () {
      yield* ['a', 'b'];
    })();
    expect(simsOf(await collect(broadcast(['a', 'b', 'c'], ping, options)))).toEqual(['a', 'b', 'c']);
    expect(simsOf(await collect(broadcast(new Set(['a']), ping, options)))).toEqual(['a']);
    expect(simsOf(await collect(broadcast(streamed, ping, options)))).toEqual(['a', 'b']);
    const ofFleet = await collect(broadcast({ fleet: 'north' }, ping, options));
    expect(simsOf(ofFleet)).toEqual(['north-1', 'north-2', 'north-3']);
    expect(ofFleet[0]).toMatchObject({ outcome: 'done', attempts: 1 });
    expect(await collect(broadcast([], ping, options))).toEqual([]);
  });

  it('sends the command in the given format, with the parameters, to the port', async () => {
    const sent: unknown[] = [];
    const { client, replies } = makeFleet(
      (bytes) => {
        const { id, method, params } = JSON.parse(bytes.toString());
        sent.push([method, params]);
        return Buffer.from(JSON.stringify({ id, result: 7 }));
      },
      async ({ devicePort, callbackUrl }) => sent.push([devicePort, callbackUrl]),
    );
    const command = { name: 'relay.set', params: { on: true }, format: 'json' } as const;
    const options = { client, replies, devicePort: 7000, callbackUrl: 'https://a.example/' };
    expect(await collect(broadcast(['a'], command, options))).toMatchObject([{ outcome: 'done', result: 7 }]);
    expect(sent).toEqual([
      [7000, 'https://a.example/'],
      ['relay.set', { on: true }],
    ]);
  });

  it.each<[string, Partial<BroadcastOptions>, object]>([
    ['a command that cannot be written', {}, { name: 'not a name' }],
    ['parameters that are too long', {}, { name: 'ping', params: { a: 'x'.repeat(70_000) } }],
    ['a concurrency of none', { concurrency: 0 }, ping],
    ['a rate of none', { rate: 0 }, ping],
    ['a canary above all', { canary: { share: 2, abortAbove: 0 } }, ping],
  ])('refuses %s, and sends nothing', async (_, options, command) => {
    const { client, replies, posts } = makeFleet();
    const asked = broadcast(['a'], { name: '', ...command }, { client, replies, ...options });
    expect(await rejection(collect(asked))).toMatchObject({ code: expect.stringMatching(/^(bad-input|too-large)$/) });
    expect(posts).toEqual([]);
  });

  it('refuses a canary without a total, and a string as a list', async () => {
    const { client, replies } = makeFleet();
    const canary = { share: 0.1, abortAbove: 0 };
    const badInput = { code: 'bad-input' };
    expect(await rejection(collect(broadcast(new Set(['a']), ping, { client, replies, canary })))).toMatchObject(
      badInput,
    );
    expect(await rejection(collect(broadcast('abc', ping, { client, replies })))).toMatchObject(badInput);
  });

  it('repeats lost datagrams, and ends each SIM independently', async () => {
    const seen = new Map<string, number>();
    const fleet = makeFleet((bytes, sim) => {
      seen.set(sim, (seen.get(sim) ?? 0) + 1);
      if (sim === 'dead') return undefined;
      if (sim === 'broken') return respond('5.00', 'handler-failed: jam')(bytes, sim);
      if (sim === 'strange') return respond('4.04', 'unknown-command: none')(bytes, sim);
      return seen.get(sim) === 1 ? undefined : ok(bytes, sim);
    });
    const sims = ['slow', 'dead', 'broken', 'strange'];
    // Slower than elsewhere: on a busy machine the last repeat must not be too late.
    const slower = { timeScale: 5 * timeScale, timeout: '2s' } as const;
    const results = await collect(broadcast(sims, ping, { ...fleet, ...slower }));
    const outcomes = new Map(results.map(({ sim, outcome, attempts }) => [sim, [outcome, attempts]]));
    expect(outcomes).toEqual(
      new Map([
        ['slow', ['done', 2]],
        ['dead', ['no-answer', 5]],
        ['broken', ['failed', 1]],
        ['strange', ['refused', 1]],
      ]),
    );
  });

  it('has no more SIMs in flight than allowed, and reads no further than results are taken', async () => {
    const fleet = makeFleet();
    let read = 0;
    function* sims() {
      for (; read < 500; read++) yield `sim-${read}`;
    }
    const results = broadcast(sims(), ping, { ...fleet, concurrency: 7 });
    await results.next();
    await delay(100);
    expect(read).toBeLessThanOrEqual(9);
    expect(await collect(results)).toHaveLength(499);
    expect(fleet.state.most).toBeLessThanOrEqual(7);
  });

  it('makes a bounded number of concurrent API calls', async () => {
    let calls = 0;
    let most = 0;
    const fleet = makeFleet(ok, async () => {
      calls++;
      most = Math.max(most, calls);
      await delay(1);
      calls--;
    });
    expect(await collect(broadcast(simNames(2000), ping, { ...fleet, concurrency: 2000 }))).toHaveLength(2000);
    expect(most).toBe(MAX_POSTS_AT_ONCE);
  });

  it('posts no faster than the rate, repeats included, and a SIM that waits for it does not time out', async () => {
    const times: number[] = [];
    const begun = performance.now();
    const answered = new Set<string>();
    const fleet = makeFleet(
      (bytes, sim) => (answered.size % 2 === answered.add(sim).size % 2 ? undefined : ok(bytes, sim)),
      async () => times.push(performance.now() - begun),
    );
    const options = { ...fleet, rate: 20, timeout: '1s', timeScale: 10 * timeScale } as const;
    const results = await collect(broadcast(simNames(50), ping, options));
    expect(results.every(({ outcome }) => outcome === 'done')).toBe(true);
    // A second's worth at once, then 50 ms each.
    for (const [index, at] of times.entries()) expect(at).toBeGreaterThanOrEqual((index - 20) * 50 - 20);
    expect(times).toHaveLength(50);
  });

  test('any mixture of answers, losses and refusals yields one outcome for each SIM', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('ok', 'fails', 'lost once', 'unknown sim', 'unknown fate', 'busy', 'away'), {
          maxLength: 40,
        }),
        fc.integer({ min: 1, max: 10 }),
        async (kinds, concurrency) => {
          const sims = kinds.map((kind, index) => `${kind} ${index}`);
          const times = new Map<string, number>();
          const first = (sim: string) => (times.get(sim) ?? 0) === 1;
          const fleet = makeFleet(
            (bytes, sim) => {
              if (sim.startsWith('lost') && first(sim)) return undefined;
              return sim.startsWith('fails') ? respond('5.00', 'handler-failed: jam')(bytes, sim) : ok(bytes, sim);
            },
            async ({ sim }) => {
              times.set(sim, (times.get(sim) ?? 0) + 1);
              if (sim === 'first') return;
              if (sim.startsWith('unknown sim')) throw new ApiError(404, '');
              if (sim.startsWith('unknown fate') && first(sim)) throw new SupersimError('api-unknown-fate', 'cut');
              if (sim.startsWith('busy') && first(sim)) throw BUSY;
              if (sim.startsWith('away') && first(sim)) throw AWAY;
            },
          );
          // One that is taken, so that the API has worked.
          await collect(broadcast(['first'], ping, fleet));
          const results = await collect(broadcast(['first', ...sims], ping, { ...fleet, concurrency, timeScale }));
          expect(results).toHaveLength(sims.length + 1);
          for (const { sim, outcome } of results) {
            const expected = sim.startsWith('fails') ? 'failed' : sim.startsWith('unknown sim') ? 'not-sent' : 'done';
            expect([sim, outcome]).toEqual([sim, expected]);
          }
          expect(simsOf(results)).toEqual(['first', ...sims].sort());
        },
      ),
      { numRuns: 15 },
    );
  });
});

describe('an error of the API during a broadcast', () => {
  it('is retried, reported once, and changes no SIM’s outcome', async () => {
    const told: unknown[] = [];
    const fleet = makeFleet(ok, async (_, count) => {
      if (count > 3 && count < 9) throw AWAY;
    });
    const options = { ...fleet, concurrency: 2, onOutage: (error: unknown) => told.push(error) };
    const results = await collect(broadcast(simNames(8), ping, options));
    expect(results.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 8 }, () => 'done'));
    expect(told).toEqual([AWAY]);
  });

  it('stops the broadcast at once if it occurs from the start, without any outcome', async () => {
    const fleet = makeFleet(ok, async () => {
      throw AWAY;
    });
    const { given, failure } = await take(broadcast(simNames(300), ping, fleet));
    expect(given).toEqual([]);
    expect(failure).toBe(AWAY);
    expect(fleet.posts.length).toBeLessThanOrEqual(FIRST_POSTS);
  });

  it('stops the broadcast when replies cannot be read from the start', async () => {
    const { client } = makeFleet();
    const replies = { listen: () => Promise.reject(AWAY) };
    const { given, failure } = await take(broadcast(['a', 'b'], ping, { client, replies }));
    expect(given).toEqual([]);
    expect(failure).toBe(AWAY);
  });

  it('about one SIM is that SIM’s outcome', async () => {
    const { client } = makeFleet();
    const replies = { listen: () => Promise.reject(new ApiError(404, '')) };
    const results = await collect(broadcast(['a'], ping, { client, replies }));
    expect(results).toMatchObject([{ sim: 'a', outcome: 'not-sent', error: { code: 'api-error' } }]);
  });

  it.each([401, 403])('HTTP %i stops the broadcast, without further outcomes', async (status) => {
    const refused = new ApiError(status, '');
    const fleet = makeFleet(
      (bytes, sim) => (Number(sim.slice(4)) % 2 === 0 ? undefined : ok(bytes, sim)),
      async (_, count) => {
        if (count > 15) throw refused;
      },
    );
    const { given, failure } = await take(broadcast(simNames(1000), ping, { ...fleet, concurrency: 10 }));
    expect(failure).toBe(refused);
    expect(given.length).toBeLessThanOrEqual(20);
    expect(given.every(({ outcome }) => outcome === 'done')).toBe(true);
    expect(fleet.posts.length).toBeLessThanOrEqual(31);
  });

  it('HTTP 401 while reading replies stops the broadcast', async () => {
    const refused = new ApiError(401, '');
    const { client, replies, listeners } = makeFleet(() => undefined);
    const results = take(broadcast(['a', 'b'], ping, { client, replies }));
    await expect.poll(() => [...listeners.keys()]).toHaveLength(2);
    listeners.get('a')?.onError(refused);
    expect(await results).toEqual({ given: [], failure: refused });
  });
});

describe('the canary of a broadcast', () => {
  const failing = (bad: number) =>
    makeFleet((bytes, sim) => (Number(sim.slice(4)) <= bad ? respond('5.00', '') : ok)(bytes, sim));
  const asked = (fleet: ReturnType<typeof makeFleet>) => new Set(fleet.posts.map(({ sim }) => sim)).size;

  it('is asked first and completely, before any other SIM', async () => {
    let ended = 0;
    const fleet = makeFleet(ok, async ({ sim }) => {
      if (Number(sim.slice(4)) > 10) expect(ended).toBeGreaterThanOrEqual(10);
    });
    const canary = { share: 0.1, abortAbove: 0 };
    for await (const _ of broadcast(simNames(100), ping, { ...fleet, canary })) ended++;
    expect(ended).toBe(100);
  });

  it('lets the others follow while no more fail than allowed', async () => {
    const fleet = failing(2);
    const options = { ...fleet, canary: { share: 0.1, abortAbove: 0.2 } };
    expect(await collect(broadcast(simNames(100), ping, options))).toHaveLength(100);
  });

  it('stops the broadcast when more fail, with an outcome for each SIM that was asked', async () => {
    const fleet = failing(3);
    const options = { ...fleet, canary: { share: 0.1, abortAbove: 0.2 }, concurrency: 100 };
    const { given, failure } = await take(broadcast(simNames(100), ping, options));
    expect(failure).toMatchObject({ code: 'canary-failed' });
    expect(given).toHaveLength(10);
    expect(asked(fleet)).toBe(10);
  });

  it('asks no further canary SIM once more have failed than allowed', async () => {
    const fleet = failing(1000);
    const options = { ...fleet, canary: { share: 1, abortAbove: 0.01 }, concurrency: 5 };
    const { given, failure } = await take(broadcast(simNames(1000), ping, options));
    expect(failure).toMatchObject({ code: 'canary-failed' });
    expect(given.length).toBeLessThanOrEqual(20);
    expect(asked(fleet)).toBe(given.length);
  });

  it('is at least one SIM; of a stream, by its total', async () => {
    const fleet = failing(1);
    const options = { ...fleet, canary: { share: 0.001, abortAbove: 0 }, total: 100 };
    const { given } = await take(broadcast(new Set(simNames(100)), ping, options));
    expect(simsOf(given)).toEqual(['sim-1']);
  });
});

describe('a caller who stops a broadcast', () => {
  it('gets an outcome for each SIM in flight, and no other is started', async () => {
    const fleet = makeFleet((bytes, sim) => (sim === 'sim-1' ? ok(bytes, sim) : undefined));
    const abort = new AbortController();
    const results = take(broadcast(simNames(1000), ping, { ...fleet, concurrency: 10, signal: abort.signal }));
    await expect.poll(() => [...fleet.listeners.keys()]).toHaveLength(10);
    abort.abort(new Error('enough'));
    const { given, failure } = await results;
    expect(failure).toEqual(new Error('enough'));
    expect(given[0]).toMatchObject({ sim: 'sim-1', outcome: 'done' });
    expect(given.slice(1).every((one) => one.outcome === 'no-answer' && one.error.code === 'given-up')).toBe(true);
    expect(given.length).toBeGreaterThanOrEqual(10);
    expect(fleet.posts.length).toBeLessThanOrEqual(12);
  });

  it('before its start has nothing sent', async () => {
    const fleet = makeFleet();
    const { given, failure } = await take(broadcast(['a'], ping, { ...fleet, signal: AbortSignal.abort() }));
    expect(given).toEqual([]);
    expect(failure).toMatchObject({ name: 'AbortError' });
    expect(fleet.posts).toEqual([]);
  });

  it('by taking no more results leaves nothing in flight', async () => {
    const fleet = makeFleet((bytes, sim) => (sim === 'sim-1' ? ok(bytes, sim) : undefined));
    for await (const { outcome } of broadcast(simNames(50), ping, fleet)) {
      expect(outcome).toBe('done');
      break;
    }
    await delay(0);
    expect(fleet.listeners.size).toBe(0);
  });
});
