import { PassThrough } from 'node:stream';
import { beforeEach, expect, it, vi } from 'vitest';
import { createOutputPace, REST_MS } from '../../../agent/handlers/output-pace.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  return () => vi.useRealTimers();
});

/** Two programs' output, read for as long as a test says. */
function setUp() {
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

it('output is read as it comes while the event loop is idle now and then', async () => {
  const { read, write, pass } = setUp();
  for (const text of ['1', '2', '3']) {
    write(text);
    await pass(10, 1);
  }
  expect(read).toEqual(['a1', 'b1', 'a2', 'b2', 'a3', 'b3']);
});

it('output rests after each chunk while the event loop is not, and all of it is read in the end', async () => {
  const { read, write, end, pass } = setUp();
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
