import { crc32 } from 'node:zlib';
import type * as z from 'zod';
import { messageOf } from '../../shared/errors.js';
import { blob, DamagedError } from './sqlite.js';

const CHECK_BYTES = 4;
/** The first byte behind the checksum of a record with an attachment; JSON alone begins with `{`. */
const WITH_ATTACHMENT = 2;
/** Checksum, {@link WITH_ATTACHMENT}, and the length of the JSON text. */
const HEAD_BYTES = CHECK_BYTES + 3;

/** The content of a record. */
export interface RecordContent {
  /** JSON, of an object; of 65,535 bytes at most where there are attachments. */
  readonly text: string;
  /** What is kept beside it as it is; one after the other they are one attachment. */
  readonly attachments: readonly Uint8Array[];
}

/** Returns what a record takes at most. */
export function maxRecordBytes({ text, attachments }: RecordContent): number {
  // A UTF-16 code unit takes up to three bytes.
  let bytes = HEAD_BYTES + 3 * text.length;
  for (const attachment of attachments) bytes += attachment.length;
  return bytes;
}

/**
 * Writes a record in the form of a row: its CRC-32, then JSON, and the attachment, if any, as it is. SQLite checks the
 * structure of its pages but not their content (https://sqlite.org/pragma.html#pragma_quick_check), and a command whose
 * parameters a failing disk has changed must not run.
 *
 * @param memory with room for {@link maxRecordBytes}
 * @returns its end
 */
export function putRecord({ text, attachments }: RecordContent, memory: Buffer, start: number): number {
  const isPlain = attachments.length === 0;
  const textAt = start + (isPlain ? CHECK_BYTES : HEAD_BYTES);
  const length = memory.write(text, textAt);
  let end = textAt + length;
  for (const attachment of attachments) {
    memory.set(attachment, end);
    end += attachment.length;
  }
  if (!isPlain) {
    memory[start + CHECK_BYTES] = WITH_ATTACHMENT;
    memory.writeUInt16BE(length, start + CHECK_BYTES + 1);
  }
  memory.writeUInt32BE(crc32(memory.subarray(start + CHECK_BYTES, end)), start);
  return end;
}

/** Returns a record as {@link putRecord} writes it. */
export function writeRecord(text: string, ...attachments: readonly Uint8Array[]): Buffer {
  const content = { text, attachments };
  const memory = Buffer.allocUnsafe(maxRecordBytes(content));
  return memory.subarray(0, putRecord(content, memory, 0));
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
