import type { ZodError } from 'zod';

/** What is wrong with some input, in one line: each place and its complaint. */
export function issuesOf(error: ZodError): string {
  return error.issues
    .map(({ path, message }) => (path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`))
    .join('; ');
}
