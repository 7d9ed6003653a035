import type * as z from 'zod';
import { SupersimError } from '../shared/errors.js';

/**
 * A value from outside, checked. The error names what is wrong and where, never the value: it may be a secret.
 *
 * @throws SupersimError `bad-input`
 */
export function checkInput<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new SupersimError('bad-input', `${what}: ${describeIssues(result.error)}`);
}

/** What zod found, on one line. */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
    .join('; ');
}
