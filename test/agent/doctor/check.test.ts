import { expect, it, vi } from 'vitest';
import { defineCheck } from '../../../agent/doctor/check.js';
import { contextOf } from './support.js';

it('a check that throws and one that exceeds its time limit become notes', async () => {
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
