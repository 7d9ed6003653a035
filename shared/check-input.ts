import type * as z from 'zod';
import { SupersimError } from './errors.js';

/** Most findings that a message lists: an answer with many entries may be wrong in each of them. */
const MAX_DESCRIBED = 5;

/**
 * Checks a value from outside, and returns it as the schema reads it. The error names what is wrong and where, never
 * the value: it may be a secret.
 *
 * @param what the value's name in the error
 * @param remedy instead of the code's own
 * @throws SupersimError `bad-input`
 */
export function checkInput<S extends z.ZodType>(schema: S, value: unknown, what: string, remedy?: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const options = remedy === undefined ? {} : { remedy };
  throw new SupersimError('bad-input', `${what}: ${describeIssues(result.error.issues)}`, options);
}

/** Describes what zod found on one line: each place and its complaint, of the first few. */
export function describeIssues(issues: readonly z.core.$ZodIssue[]): string {
  const described = issues
    .slice(0, MAX_DESCRIBED)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`));
  const more = issues.length - described.length;
  return [...described, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}
