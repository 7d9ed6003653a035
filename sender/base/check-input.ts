import type * as z from 'zod';
import { SupersimError } from '../../shared/errors.js';
import { describeIssues } from '../../shared/issues.js';

const MAX_DESCRIBED = 5;

/**
 * A value from outside, checked. The error names what is wrong and where, never the value: it may be a secret.
 *
 * @throws SupersimError `bad-input`
 */
export function checkInput<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new SupersimError('bad-input', `${what}: ${describeFirstIssues(result.error)}`);
}

/** The first of what zod found: an answer with many entries may be wrong in each of them. */
export const describeFirstIssues = ({ issues }: z.ZodError): string => describeIssues(issues.slice(0, MAX_DESCRIBED));
