import { describe, expect, it } from 'vitest';
import { createFairQueue } from '../../../../agent/command/runner/fair-queue.js';
import type { Task } from '../../../../agent/command/runner/task.js';
import { compileHandler } from '../../../../agent/handlers/registry.js';

const LIMITS = { running: 1, waiting: 256, waitingBytes: 256_000 };
const handler = compileHandler({ name: 'work', description: '', run: () => undefined });

function taskOf(holder: string, name = holder, bytes = 10): Task {
  const command = { name, params: { positional: [], named: {} }, format: 'text', peer: 'gateway' } as const;
  return { command, holder, handler, params: {}, bytes, done: () => undefined };
}

function fill(queue: ReturnType<typeof createFairQueue>, holder: string, limits = LIMITS, bytes = 10): number {
  let count = 0;
  while (queue.push(taskOf(holder, `${holder} ${count}`, bytes), limits)) count++;
  return count;
}

const anyTask = () => true;

describe('a queue', () => {
  it('gives the tasks of one address in the order in which they came', () => {
    const queue = createFairQueue();
    for (const name of ['a', 'b', 'c']) queue.push(taskOf('one', name), LIMITS);
    expect(Array.from({ length: 4 }, () => queue.take(anyTask)?.command.name)).toEqual(['a', 'b', 'c', undefined]);
  });

  it('gives the tasks of several addresses in turns', () => {
    const queue = createFairQueue();
    fill(queue, 'greedy');
    for (const name of ['a', 'b']) queue.push(taskOf('other', name), LIMITS);
    const names = Array.from({ length: 5 }, () => queue.take(anyTask)?.command.name);
    expect(names).toEqual(['greedy 0', 'a', 'greedy 1', 'b', 'greedy 2']);
  });

  it('passes a task that may not start yet', () => {
    const queue = createFairQueue();
    for (const name of ['a', 'b']) queue.push(taskOf('one', name), LIMITS);
    expect(queue.take(({ command }) => command.name === 'b')?.command.name).toBe('b');
    expect(queue.length).toBe(1);
  });

  it('gives what is wanted, all of it, and keeps the rest', () => {
    const queue = createFairQueue();
    for (const holder of ['one', 'two', 'three']) queue.push(taskOf(holder), LIMITS);
    expect(queue.remove(({ holder }) => holder !== 'two').map(({ holder }) => holder)).toEqual(['one', 'three']);
    expect(queue.some(({ holder }) => holder === 'two')).toBe(true);
    expect(queue.some(({ holder }) => holder === 'one')).toBe(false);
  });
});

describe('the bound of a queue', () => {
  it.each([
    ['tasks', LIMITS, 10],
    ['bytes', { ...LIMITS, waiting: 65_536 }, 1000],
  ])('of %s leaves a quarter to those that hold less than a quarter', (_what, limits, bytes) => {
    const queue = createFairQueue();
    expect(fill(queue, 'greedy', limits, bytes)).toBe(192);
    expect(fill(queue, 'other', limits, bytes)).toBe(32);
    expect(fill(queue, 'third', limits, bytes)).toBe(16);
    expect(fill(queue, 'greedy', limits, bytes)).toBe(0);
    queue.remove(({ holder }) => holder === 'other');
    expect(fill(queue, 'other', limits, bytes)).toBe(24);
  });

  it.each([
    [0, 0],
    [1, 1],
    [2, 2],
  ])('of %d tasks has room for %d of one address', (waiting, count) => {
    expect(fill(createFairQueue(), 'one', { ...LIMITS, waiting })).toBe(count);
  });

  it('is never passed, however many addresses send', () => {
    const queue = createFairQueue();
    for (let holder = 0; holder < 1000; holder++) fill(queue, String(holder));
    expect(queue.length).toBeLessThanOrEqual(LIMITS.waiting);
    expect(queue.remove(anyTask)).toHaveLength(LIMITS.waiting);
    expect(queue.length).toBe(0);
  });
});
