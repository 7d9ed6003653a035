import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mapConcurrently } from '../../../sender/broadcast/map-concurrently.js';
import { collect, rejection } from '../support.js';

const always = () => true;
const turn = () => new Promise(setImmediate);

function* numbers(count: number) {
  for (let number = 0; number < count; number++) yield number;
}

describe('mapConcurrently', () => {
  it('maps each item once, with no more in flight than the maximum', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 40 }),
        async (maxConcurrent, turns) => {
          let inFlight = 0;
          const mapper = async (index: number) => {
            inFlight++;
            expect(inFlight).toBeLessThanOrEqual(maxConcurrent);
            for (let left = turns[index] ?? 0; left > 0; left--) await turn();
            inFlight--;
            return index;
          };
          const stop = new AbortController();
          const done = await collect(
            mapConcurrently({ source: numbers(turns.length), maxConcurrent, mapper, stop, mayStart: always }),
          );
          expect(done.sort((a, b) => a - b)).toEqual([...numbers(turns.length)]);
          expect(stop.signal.aborted).toBe(false);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('reads no further while the results are not taken', async () => {
    let read = 0;
    const source = (async function* () {
      for (; read < 1000; ) yield read++;
    })();
    const mapper = async (number: number) => number;
    const results = mapConcurrently({
      source,
      maxConcurrent: 5,
      mapper,
      stop: new AbortController(),
      mayStart: always,
    });
    await results.next();
    for (let wait = 0; wait < 20; wait++) await turn();
    expect(read).toBeLessThanOrEqual(7);
    await collect(results);
    expect(read).toBe(1000);
  });

  it('aborts the others when one fails, and throws the failure once they have ended', async () => {
    const stop = new AbortController();
    let ended = 0;
    const mapper = async (number: number) => {
      if (number === 2) throw new Error('no');
      await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
      ended++;
      return number;
    };
    const given: number[] = [];
    const all = (async () => {
      for await (const one of mapConcurrently({ source: numbers(9), maxConcurrent: 3, mapper, stop, mayStart: always }))
        given.push(one);
    })();
    expect(await rejection(all)).toEqual(new Error('no'));
    expect(stop.signal.reason).toEqual(new Error('no'));
    expect(given).toEqual([0, 1]);
    expect(ended).toBe(2);
  });

  it('aborts and waits for the items in flight when the consumer stops taking results', async () => {
    const stop = new AbortController();
    let inFlight = 0;
    const mapper = async (number: number) => {
      inFlight++;
      if (number > 0) await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
      await turn();
      inFlight--;
      return number;
    };
    for await (const _ of mapConcurrently({ source: numbers(9), maxConcurrent: 3, mapper, stop, mayStart: always }))
      break;
    expect(stop.signal.aborted).toBe(true);
    expect(inFlight).toBe(0);
  });

  it('does not wait for a source that hangs once it is stopped', async () => {
    const stop = new AbortController();
    const source = (async function* () {
      yield 1;
      await new Promise(() => {});
    })();
    const mapper = async (number: number) => number;
    const results = mapConcurrently({ source, maxConcurrent: 3, mapper, stop, mayStart: always });
    expect((await results.next()).value).toBe(1);
    const end = results.next();
    await turn();
    stop.abort();
    expect((await end).done).toBe(true);
  });

  it('throws the failure of its source', async () => {
    const source = (async function* () {
      yield 1;
      throw new Error('unreadable');
    })();
    const mapper = async (number: number) => number;
    const results = mapConcurrently({
      source,
      maxConcurrent: 1,
      mapper,
      stop: new AbortController(),
      mayStart: always,
    });
    expect((await results.next()).value).toBe(1);
    expect(await rejection(results.next())).toEqual(new Error('unreadable'));
  });
});
