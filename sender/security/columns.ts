import * as z from 'zod';
import { readBlob } from '../../shared/sqlite/connection.js';

/** A BLOB column. */
export const readBytes = z
  .unknown()
  .transform(readBlob)
  .pipe(z.instanceof(Buffer, { error: 'must be bytes' }));

/** A TEXT column, read as bytes: see `Connection.all`. */
export const readText = readBytes.transform((value) => value.toString('utf8'));
