import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { keepHead } from '../../../agent/handlers/stdio.js';
import { liveMemory } from '../../support/live-memory.js';

const LIMIT = 1000;
const MOST_HELD = 65_536;

/** Takes half of a piece of Node's pool, as others do meanwhile: no two Buffers with this between them share one. */
const takeFromPool = () => void Buffer.allocUnsafe(4095);

it('the head of an output that comes in small pieces takes no more memory than a few times its length', async () => {
  const stream = new PassThrough();
  const head = keepHead(stream, LIMIT);
  const before = liveMemory().arrayBuffers;
  for (let piece = 0; piece < LIMIT + 10; piece++) {
    stream.write('x');
    takeFromPool();
    await new Promise(setImmediate);
  }
  expect(liveMemory().arrayBuffers - before).toBeLessThan(MOST_HELD);
  expect(head.bytes().toString()).toBe('x'.repeat(LIMIT));
  expect(head.total()).toBe(LIMIT + 10);
});
