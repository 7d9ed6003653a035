import { expect, it } from 'vitest';
import * as z from 'zod';
import { describeIssues } from '../../shared/issues.js';

const issuesOf = (schema: z.ZodType, value: unknown) => schema.safeParse(value).error?.issues ?? [];

it('each place and its complaint stand on one line', () => {
  const schema = z.object({ a: z.array(z.string('must be a word')), b: z.number('must be a number') });
  expect(describeIssues(issuesOf(schema, { a: ['x', 1], b: 'y' }))).toBe('a.1: must be a word; b: must be a number');
});

it('the whole has no place', () => {
  expect(describeIssues(issuesOf(z.string('must be a word'), 1))).toBe('must be a word');
});

it('nothing is nothing', () => {
  expect(describeIssues([])).toBe('');
});
