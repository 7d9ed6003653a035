import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { REMEMBERED } from '../../shared/limits.js';

it('the README says how long a device remembers commands in the words of the programs', () => {
  // Where repeats are explained, and where broadcasts are resumed.
  expect(readFileSync('README.md', 'utf8').split(REMEMBERED)).toHaveLength(3);
});
