import type { Context } from 'hono';
import type * as z from 'zod';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { describeIssues } from '../../shared/issues.js';
import { readBody } from './body.js';

/**
 * Reads and checks a JSON body.
 *
 * @throws SupersimError `bad-input` for a body that is not JSON, or does not fit the schema
 */
export async function jsonBody<S extends z.ZodType>(c: Context, schema: S): Promise<z.output<S>> {
  const text = (await readBody(c)).toString('utf8');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new SupersimError('bad-input', `the body is not JSON: ${messageOf(error)}`, { cause: error });
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  throw new SupersimError('bad-input', describeIssues(result.error.issues));
}
