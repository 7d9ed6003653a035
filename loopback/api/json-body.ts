import type { Context } from 'hono';
import type * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { requestBody } from './body.js';

/** @throws SupersimError `bad-input` for what is no JSON, or does not fit */
export async function jsonBody<S extends z.ZodType>(c: Context, schema: S): Promise<z.output<S>> {
  const text = (await requestBody(c)).toString('utf8');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new SupersimError('bad-input', `the body is no JSON: ${messageOf(error)}`, { cause: error });
  }
  return checkInput(schema, parsed, 'the body');
}
