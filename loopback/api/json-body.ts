import type { Context } from 'hono';
import type * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { requestBody } from './body.js';

/**
 * Reads and checks a JSON body.
 *
 * @throws SupersimError `bad-input` for a body that is not JSON, or does not fit the schema
 */
export async function jsonBody<S extends z.ZodType>(c: Context, schema: S): Promise<z.output<S>> {
  const text = (await requestBody(c)).toString('utf8');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new SupersimError('bad-input', `the body is not JSON: ${messageOf(error)}`, { cause: error });
  }
  return checkInput(schema, parsed, 'the body');
}
