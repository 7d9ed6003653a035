import type { Context } from 'hono';
import type * as z from 'zod';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { describeIssues } from '../../shared/issues.js';
import { readBody } from './body.js';

/** @throws SupersimError `bad-input` for what is no JSON, or does not fit */
export async function jsonBody<S extends z.ZodType>(c: Context, schema: S): Promise<z.output<S>> {
  const text = (await readBody(c)).toString('utf8');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new SupersimError('bad-input', `the body is no JSON: ${messageOf(error)}`, { cause: error });
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  throw new SupersimError('bad-input', describeIssues(result.error.issues));
}
