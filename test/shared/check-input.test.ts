import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { checkInput, describeIssues } from '../../shared/check-input.js';

const issuesOf = (schema: z.ZodType, value: unknown) => schema.safeParse(value).error?.issues ?? [];

it('describeIssues puts each place and its complaint on one line', () => {
  const schema = z.object({ a: z.array(z.string('must be a word')), b: z.number('must be a number') });
  expect(describeIssues(issuesOf(schema, { a: ['x', 1], b: 'y' }))).toBe('a.1: must be a word; b: must be a number');
});

it('describeIssues names no place for the whole value', () => {
  expect(describeIssues(issuesOf(z.string('must be a word'), 1))).toBe('must be a word');
});

it('describeIssues of no issues is empty', () => {
  expect(describeIssues([])).toBe('');
});

it('describeIssues describes only the first few of many', () => {
  const issues = issuesOf(z.array(z.number('no number')), ['a', 'b', 'c', 'd', 'e', 'f', 'g']);
  expect(describeIssues(issues)).toMatch(/^0: no number; .*; 4: no number; and 2 more$/);
});

describe('checkInput', () => {
  const schema = z.object({ a: z.string().default('x'), b: z.number() });

  it('gives the value as the schema reads it', () => {
    expect(checkInput(schema, { b: 1, c: 2 }, 'the options')).toEqual({ a: 'x', b: 1 });
  });

  it('throws a bad-input error that says what is wrong and where, and what to do', () => {
    const check = (remedy?: string) => () => checkInput(schema, { b: 'secret' }, 'the options', remedy);
    expect(check()).toThrow(
      expect.objectContaining({ code: 'bad-input', message: expect.stringMatching(/^the options: b: /) }),
    );
    expect(check()).not.toThrow(/secret/);
    expect(check('Write a number.')).toThrow(expect.objectContaining({ remedy: 'Write a number.' }));
  });
});
