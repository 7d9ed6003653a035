import * as z from 'zod';
import { readBlob } from './connection.js';

/** A BLOB column. */
export const readBytes = z
  .unknown()
  .transform(readBlob)
  .pipe(z.instanceof(Buffer, { error: 'must be bytes' }));

/** A TEXT column, read as bytes: see `Connection.all`. */
export const readText = readBytes.transform((value) => value.toString('utf8'));

/** A TEXT column that holds JSON. */
export const readJson = readText.transform((text, context) => {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch {
    context.addIssue({ code: 'custom', message: 'must be JSON' });
    return z.NEVER;
  }
});
