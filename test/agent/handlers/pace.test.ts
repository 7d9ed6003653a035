import { PassThrough } from 'node:stream';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createOutputPace, createStartPace, REST_MS } from '../../../agent/handlers/pace.js';

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

describe('the pace of starts', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 0 });
    return () => vi.useRealTimers();
  });

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

/** Two programs' output, read for as long as a test says. */
function createOutputs() {
  let idle = 0;
  const pace = createOutputPace(() => idle);
  const read: string[] = [];
  const streams = ['a', 'b'].map((name) => {
    const stream = new PassThrough({ highWaterMark: 1 });
    stream.on('data', (chunk) => read.push(`${name}${chunk}`));
    pace(stream);
    return stream;
  });
  return {
    read,
    write: (text: string) => {
      for (const stream of streams) stream.write(text);
    },
    end: () => {
      for (const stream of streams) stream.end();
    },
    /** Lets time pass, of which the event loop was idle for a while. */
    pass: async (ms: number, idleMs: number) => {
      idle += idleMs;
      await vi.advanceTimersByTimeAsync(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe('the pace of output', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    return () => vi.useRealTimers();
  });

  it('reads output as it comes while the event loop is idle now and then', async () => {
    const { read, write, pass } = createOutputs();
    for (const text of ['1', '2', '3']) {
      write(text);
      await pass(10, 1);
    }
    expect(read).toEqual(['a1', 'b1', 'a2', 'b2', 'a3', 'b3']);
  });

  it('has output rest after each chunk while the event loop is not, and reads all of it in the end', async () => {
    const { read, write, end, pass } = createOutputs();
    write('0');
    await pass(10, 0);
    for (const text of ['1', '2', '3']) write(text);
    end();
    await pass(REST_MS - 1, 0);
    expect(read).toEqual(['a0', 'b0', 'a1', 'b1']);
    await pass(1, 0);
    expect(read).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
    await pass(REST_MS, 0);
    expect(read).toHaveLength(8);
  });
});
