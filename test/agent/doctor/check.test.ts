import { expect, it, vi } from 'vitest';
import { defineCheck } from '../../../agent/doctor/check.js';
import { good, warning, worstOf } from '../../../agent/doctor/finding.js';
import { runProgram } from '../../../agent/doctor/run-program.js';
import { contextOf } from './support.js';

it('a check that throws, and one that does not end, could not look, and says so', async () => {
  const context = await contextOf({});
  const throwing = defineCheck({ name: 'a', look: () => Promise.reject(new Error('gone')), judge: () => [] });
  expect(await throwing.run(context)).toMatchObject([
    { check: 'a', severity: 'note', found: expect.stringContaining('gone') },
  ]);
  vi.useFakeTimers();
  const hanging = defineCheck({ name: 'b', lookMs: 5000, look: () => new Promise<never>(() => {}), judge: () => [] });
  const found = hanging.run(context);
  await vi.advanceTimersByTimeAsync(5000);
  vi.useRealTimers();
  expect(await found).toMatchObject([{ check: 'b', severity: 'note', found: expect.stringContaining('5 s') }]);
});

it('the worst of several findings counts', () => {
  expect(worstOf([])).toBe('good');
  expect(worstOf([good('a', 'b'), warning('a', 'b', 'c'), good('a', 'b')])).toBe('warning');
});

it('an external program is bounded in time and in what it prints, and its absence is told', async () => {
  const began = performance.now();
  expect(await runProgram('sleep', ['30'], { timeoutMs: 200 })).toMatchObject({
    failed: expect.stringContaining('0.2 s'),
  });
  expect(performance.now() - began).toBeLessThan(10_000);
  const { stdout, failed } = await runProgram('yes', [], { maxBytes: 4096, timeoutMs: 5000 });
  expect(failed).toBeUndefined();
  expect(stdout.length).toBeLessThanOrEqual(4096);
  expect(await runProgram('no-such-program', [])).toMatchObject({ missing: true });
  expect(await runProgram('sh', ['-c', 'echo out; echo why >&2; exit 3'])).toEqual({
    stdout: 'out\n',
    failed: 'sh: why',
  });
  // It gets nothing on its stdin, and so does not wait for it.
  expect(await runProgram('cat', [])).toEqual({ stdout: '' });
});
