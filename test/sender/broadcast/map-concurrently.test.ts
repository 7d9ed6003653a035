import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { together } from '../../../sender/broadcast/map-concurrently.js';
import { collect, rejection } from '../support.js';

const always = () => true;
const turn = () => new Promise(setImmediate);

function* numbers(count: number) {
  for (let number = 0; number < count; number++) yield number;
}

describe('together', () => {
  it('does each job once, so many at once and no more, whatever their times', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 40 }),
        async (most, turns) => {
          let underWay = 0;
          const work = async (index: number) => {
            underWay++;
            expect(underWay).toBeLessThanOrEqual(most);
            for (let left = turns[index] ?? 0; left > 0; left--) await turn();
            underWay--;
            return index;
          };
          const stop = new AbortController();
          const done = await collect(together({ source: numbers(turns.length), most, work, stop, mayBegin: always }));
          expect(done.sort((a, b) => a - b)).toEqual([...numbers(turns.length)]);
          expect(stop.signal.aborted).toBe(false);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('reads no further while nobody takes the results', async () => {
    let read = 0;
    const source = (async function* () {
      for (; read < 1000; ) yield read++;
    })();
    const work = async (number: number) => number;
    const results = together({ source, most: 5, work, stop: new AbortController(), mayBegin: always });
    await results.next();
    for (let wait = 0; wait < 20; wait++) await turn();
    expect(read).toBeLessThanOrEqual(7);
    await collect(results);
    expect(read).toBe(1000);
  });

  it('what fails stops the rest, which comes to its end first', async () => {
    const stop = new AbortController();
    let ended = 0;
    const work = async (number: number) => {
      if (number === 2) throw new Error('no');
      await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
      ended++;
      return number;
    };
    const given: number[] = [];
    const all = (async () => {
      for await (const one of together({ source: numbers(9), most: 3, work, stop, mayBegin: always })) given.push(one);
    })();
    expect(await rejection(all)).toEqual(new Error('no'));
    expect(stop.signal.reason).toEqual(new Error('no'));
    expect(given).toEqual([0, 1]);
    expect(ended).toBe(2);
  });

  it('who takes no more results has all stopped, and nothing is under way then', async () => {
    const stop = new AbortController();
    let underWay = 0;
    const work = async (number: number) => {
      underWay++;
      if (number > 0) await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
      await turn();
      underWay--;
      return number;
    };
    for await (const _ of together({ source: numbers(9), most: 3, work, stop, mayBegin: always })) break;
    expect(stop.signal.aborted).toBe(true);
    expect(underWay).toBe(0);
  });

  it('does not wait for a source that hangs once it is stopped', async () => {
    const stop = new AbortController();
    const source = (async function* () {
      yield 1;
      await new Promise(() => {});
    })();
    const work = async (number: number) => number;
    const results = together({ source, most: 3, work, stop, mayBegin: always });
    expect((await results.next()).value).toBe(1);
    const end = results.next();
    await turn();
    stop.abort();
    expect((await end).done).toBe(true);
  });

  it('a source that fails is the failure', async () => {
    const source = (async function* () {
      yield 1;
      throw new Error('unreadable');
    })();
    const work = async (number: number) => number;
    const results = together({ source, most: 1, work, stop: new AbortController(), mayBegin: always });
    expect((await results.next()).value).toBe(1);
    expect(await rejection(results.next())).toEqual(new Error('unreadable'));
  });
});
