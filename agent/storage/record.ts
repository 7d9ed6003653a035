import { crc32 } from 'node:zlib';
import type * as z from 'zod';
import { messageOf } from '../../shared/errors.js';
import { blob, DamagedError } from './sqlite.js';

const CHECK_BYTES = 4;
/** The first byte behind the checksum of a record with an attachment; JSON alone begins with `{`. */
const WITH_ATTACHMENT = 2;
/** Checksum, {@link WITH_ATTACHMENT}, and the length of the JSON text. */
const HEAD_BYTES = CHECK_BYTES + 3;

/**
 * Returns a record in the form of a row: its CRC-32, then JSON, and the attachment, if any, as it is. SQLite checks the
 * structure of its pages but not their content (https://sqlite.org/pragma.html#pragma_quick_check), and a command whose
 * parameters a failing disk has changed must not run.
 *
 * @param text JSON, of an object; of 65,535 bytes at most where there is an attachment
 */
export function writeRecord(text: string, attachment?: Uint8Array): Buffer {
  const length = Buffer.byteLength(text);
  const start = attachment === undefined ? CHECK_BYTES : HEAD_BYTES;
  const record = Buffer.allocUnsafe(start + length + (attachment?.length ?? 0));
  record.write(text, start);
  if (attachment !== undefined) {
    record[CHECK_BYTES] = WITH_ATTACHMENT;
    record.writeUInt16BE(length, CHECK_BYTES + 1);
    record.set(attachment, start + length);
  }
  record.writeUInt32BE(crc32(record.subarray(CHECK_BYTES)));
  return record;
}

/** A record as it was written. */
export interface Opened<T> {
  readonly document: T;
  /** Undefined where it was written without one. */
  readonly attachment: Buffer | undefined;
  readonly size: number;
}

/** Reads a record. @throws DamagedError when it differs from what was written */
export function readRecord<Schema extends z.ZodType>(schema: Schema, column: unknown): Opened<z.output<Schema>> {
  const { text, attachment, size } = openRecord(column);
  try {
    return { document: schema.parse(JSON.parse(text)), attachment, size };
  } catch (error) {
    throw new DamagedError(`a record cannot be read: ${messageOf(error)}`);
  }
}

function openRecord(column: unknown): { text: string; attachment: Buffer | undefined; size: number } {
  const record = blob(column);
  const size = record.length;
  if (size < CHECK_BYTES || record.readUInt32BE() !== crc32(record.subarray(CHECK_BYTES))) {
    throw new DamagedError('a record differs from what was written');
  }
  if (record[CHECK_BYTES] !== WITH_ATTACHMENT) {
    return { text: record.toString('utf8', CHECK_BYTES), attachment: undefined, size };
  }
  const end = HEAD_BYTES + record.readUInt16BE(CHECK_BYTES + 1);
  return { text: record.toString('utf8', HEAD_BYTES, end), attachment: record.subarray(end), size };
}
