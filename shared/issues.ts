import type * as z from 'zod';

/** What zod found wrong, on one line: each place and its complaint, never the value, which may be a secret. */
export const describeIssues = (issues: readonly z.core.$ZodIssue[]): string =>
  issues
    .map(({ path, message }) => (path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`))
    .join('; ');
