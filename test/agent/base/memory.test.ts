import { expect, it } from 'vitest';
import { ownCopy, withRoom } from '../../../agent/base/memory.js';

it('a copy keeps nothing else in memory', () => {
  const bytes = Buffer.from('some');
  const copy = ownCopy(bytes);
  bytes.fill('x');
  expect(copy.toString()).toBe('some');
  expect(copy.buffer.byteLength).toBe(4);
});

it('memory has room for more, with what is in it, and is not replaced where it has room', () => {
  const memory = withRoom(Buffer.alloc(0), 4);
  memory.set(Buffer.from('some'));
  expect(withRoom(memory, 4)).toBe(memory);
  const larger = withRoom(memory, 5);
  expect(larger.toString('latin1', 0, 4)).toBe('some');
  expect(larger.buffer.byteLength).toBe(8);
  expect(withRoom(larger, 100).buffer.byteLength).toBe(100);
});
