import { crc32 } from 'node:zlib';
import type * as z from 'zod';
import { messageOf } from '../../shared/errors.js';
import { blob, DamagedError } from './sqlite.js';

const CHECK_BYTES = 4;

/**
 * Returns a record in the form of a row: its CRC-32, then JSON. SQLite checks the structure of its pages but not their
 * content (https://sqlite.org/pragma.html#pragma_quick_check), and a command whose parameters a failing disk has
 * changed must not run.
 *
 * @param text JSON
 */
export function writeRecord(text: string): Buffer {
  const record = Buffer.allocUnsafe(CHECK_BYTES + Buffer.byteLength(text));
  record.write(text, CHECK_BYTES);
  record.writeUInt32BE(crc32(record.subarray(CHECK_BYTES)));
  return record;
}

/** Reads a record. @throws DamagedError when it differs from what was written */
export function readRecord<Schema extends z.ZodType>(
  schema: Schema,
  column: unknown,
): { readonly document: z.output<Schema>; readonly size: number } {
  const record = blob(column);
  const text = record.subarray(CHECK_BYTES);
  if (record.length < CHECK_BYTES || record.readUInt32BE() !== crc32(text)) {
    throw new DamagedError('a record differs from what was written');
  }
  try {
    return { document: schema.parse(JSON.parse(text.toString())), size: record.length };
  } catch (error) {
    throw new DamagedError(`a record cannot be read: ${messageOf(error)}`);
  }
}
