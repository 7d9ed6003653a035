import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createStartPace } from '../../../agent/handlers/start-pace.js';

const never = new Promise<never>(() => undefined);

/** An event loop whose starts take their time, and that waits for work as long as a test says. */
function createLoop() {
  const started: { readonly name: string; readonly at: number }[] = [];
  let idle = 1000;
  const inTurn = createStartPace(() => idle);
  return {
    started,
    wait: (ms: number) => {
      idle += ms;
    },
    start: (name: string, takesMs: number, end: Promise<string> = never) =>
      inTurn(() => {
        started.push({ name, at: performance.now() });
        vi.advanceTimersByTime(takesMs);
        return end;
      }),
  };
}

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  return () => vi.useRealTimers();
});

describe('the pace of starts', () => {
  it('starts at once what comes alone, and resolves or rejects as it does', async () => {
    const { start, started } = createLoop();
    expect(await start('a', 0, Promise.resolve('output'))).toBe('output');
    await expect(start('b', 0, Promise.reject(new Error('cannot start')))).rejects.toThrow('cannot start');
    expect(started).toEqual([
      { name: 'a', at: 0 },
      { name: 'b', at: 0 },
    ]);
  });

  it('does not wait for the end of what was started, nor after a start that took no time', async () => {
    const { start, started } = createLoop();
    for (const name of ['a', 'b', 'c']) void start(name, 0.5);
    await vi.advanceTimersByTimeAsync(0);
    expect(started.map(({ at }) => at)).toEqual([0, 0.5, 1]);
  });

  it('after a start that blocked the event loop waits until that has been idle', async () => {
    const { start, started, wait } = createLoop();
    for (const name of ['a', 'b']) void start(name, 4);
    await vi.advanceTimersByTimeAsync(30);
    wait(0.1);
    await vi.advanceTimersByTimeAsync(5);
    expect(started.map(({ name }) => name)).toEqual(['a']);
    wait(0.1);
    await vi.advanceTimersByTimeAsync(1);
    expect(started.map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it('leaves at most a twentieth of the time to starts, where the event loop is never idle', async () => {
    const { start, started } = createLoop();
    for (const name of ['a', 'b', 'c']) void start(name, 4);
    await vi.advanceTimersByTimeAsync(1000);
    expect(started.map(({ at }) => at)).toEqual([0, 84, 168]);
  });
});
