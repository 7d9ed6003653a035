import type { SqlValue } from '../../shared/sqlite/native.js';
import { withRoom } from '../base/memory.js';
import { maxRecordBytes, putRecord, type RecordContent } from './record.js';

/**
 * Runs a SQL statement with its values; a record's content is stored as a record.
 *
 * @returns the size of its records and other bytes
 */
export type RunStatement = (sql: string, values: readonly (SqlValue | RecordContent)[]) => number;

const NULL = 0;
const NUMBER = 1;
const TEXT = 2;
const BYTES = 3;
/** Kind and length, in front of a text or bytes. */
const HEAD_BYTES = 5;

/** Size of the memory for a batch at first; it doubles as needed. */
const INITIAL_BYTES = 65_536;
/** Larger memory is given up after its batch: what one flood needed would be kept for ever. */
const MAX_REUSED_BYTES = 1_048_576;

/**
 * Packs statements and their values into one piece of memory, which is handed to the worker as a whole: a structured
 * clone of an array for each statement would cost more than the statement.
 */
export function createBatchPacker() {
  const numbers = new Map<string, number>();
  let added: string[] = [];
  let memory = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  let at = 0;

  function reserve(bytes: number): void {
    memory = withRoom(memory, at + bytes);
  }

  function numberOf(sql: string): number {
    let number = numbers.get(sql);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(sql, number);
      added.push(sql);
    }
    return number;
  }

  /** @returns the size of its bytes */
  function add(value: SqlValue | RecordContent): number {
    if (typeof value === 'number') {
      reserve(9);
      memory[at] = NUMBER;
      memory.writeDoubleLE(value, at + 1);
      at += 9;
      return 0;
    }
    if (value === null) {
      reserve(1);
      memory[at++] = NULL;
      return 0;
    }
    let end: number;
    if (typeof value === 'string') {
      // A UTF-16 code unit takes up to three bytes.
      reserve(HEAD_BYTES + 3 * value.length);
      end = at + HEAD_BYTES + memory.write(value, at + HEAD_BYTES);
    } else if (value instanceof Uint8Array) {
      reserve(HEAD_BYTES + value.length);
      memory.set(value, at + HEAD_BYTES);
      end = at + HEAD_BYTES + value.length;
    } else {
      reserve(HEAD_BYTES + maxRecordBytes(value));
      end = putRecord(value, memory, at + HEAD_BYTES);
    }
    const length = end - at - HEAD_BYTES;
    memory[at] = typeof value === 'string' ? TEXT : BYTES;
    memory.writeUInt32LE(length, at + 1);
    at = end;
    return typeof value === 'string' ? 0 : length;
  }

  const run: RunStatement = (sql, values) => {
    reserve(3);
    memory.writeUInt16LE(numberOf(sql), at);
    memory[at + 2] = values.length;
    at += 3;
    let bytes = 0;
    for (const value of values) bytes += add(value);
    return bytes;
  };

  return {
    run,
    /** Returns what has been packed; the memory is to be handed over, and may come back by {@link reuse}. */
    take() {
      const packed = { memory: memory.buffer, length: at, sql: added };
      added = [];
      at = 0;
      memory = Buffer.alloc(0);
      return packed;
    },
    /** Takes memory that is no longer used, so that the next batch needs no new one. */
    reuse(spent: ArrayBuffer | undefined): void {
      if (at > 0 || memory.length > 0) return;
      memory =
        spent === undefined || spent.byteLength > MAX_REUSED_BYTES
          ? Buffer.allocUnsafeSlow(INITIAL_BYTES)
          : Buffer.from(spent);
    },
    /** Forgets what was packed and which statements the worker knows: there is another worker. */
    reset(): void {
      numbers.clear();
      added = [];
      at = 0;
    },
  };
}

/**
 * Runs the statements of a batch in their order.
 *
 * @param sql all statements that the worker was told of, by their numbers
 */
export function runBatch(
  memory: ArrayBuffer,
  length: number,
  sql: readonly string[],
  run: (sql: string, values: readonly SqlValue[]) => void,
): void {
  const batch = Buffer.from(memory, 0, length);
  let at = 0;

  function readValue(): SqlValue {
    const kind = batch.readUInt8(at++);
    if (kind === NULL) return null;
    if (kind === NUMBER) {
      at += 8;
      return batch.readDoubleLE(at - 8);
    }
    const bytes = batch.readUInt32LE(at);
    at += 4 + bytes;
    return kind === TEXT ? batch.toString('utf8', at - bytes, at) : batch.subarray(at - bytes, at);
  }

  while (at < length) {
    const statement = sql[batch.readUInt16LE(at)];
    const count = batch.readUInt8(at + 2);
    at += 3;
    const values: SqlValue[] = [];
    for (let index = 0; index < count; index++) values.push(readValue());
    if (statement === undefined) throw new Error('the batch has a statement that the worker was not told of');
    run(statement, values);
  }
}
