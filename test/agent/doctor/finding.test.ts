import { expect, it } from 'vitest';
import { good, warning, worstOf } from '../../../agent/doctor/finding.js';

it('the worst of several findings counts', () => {
  expect(worstOf([])).toBe('good');
  expect(worstOf([good('a', 'b'), warning('a', 'b', 'c'), good('a', 'b')])).toBe('warning');
});
