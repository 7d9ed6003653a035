/** Reads the log that a faulty disk keeps; its records are described in faulty-disk.c. */

const HEAD_BYTES = 16;

const KINDS = {
  w: 'write',
  t: 'truncate',
  c: 'create',
  u: 'unlink',
  r: 'rename',
  s: 'sync',
  e: 'failed-sync',
  m: 'mark',
} as const;

/** What happened to a file below the disk's folder, or was marked. */
export interface WriteRecord {
  readonly kind: (typeof KINDS)[keyof typeof KINDS];
  /** Path in the folder; empty for the folder itself, and for a mark. */
  readonly name: string;
  /** What was written; a file's new name; the text of a mark. */
  readonly data: Buffer;
  /** Where it was written; the size that a file was truncated to; for a sync, where the log ended when it began. */
  readonly offset: number;
  /** Where the record stands in the log. */
  readonly at: number;
}

/** Returns a mark as it stands in the log. It has to be appended by a single write. */
export function markRecord(text: string): Buffer {
  const data = Buffer.from(text);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt16LE('m'.charCodeAt(0));
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data]);
}

/** Reads a log. A record whose end is missing was being written when it was read, and is left out. */
export function readWriteLog(log: Buffer): WriteRecord[] {
  const records: WriteRecord[] = [];
  for (let at = 0; at + HEAD_BYTES <= log.length; ) {
    const nameLength = log.readUInt16LE(at + 2);
    const start = at + HEAD_BYTES + nameLength;
    const end = start + log.readUInt32LE(at + 4);
    if (end > log.length) break;
    const name = log.toString('utf8', at + HEAD_BYTES, start);
    const offset = Number(log.readBigUInt64LE(at + 8));
    records.push({ kind: kindOf(log.readUInt16LE(at)), name, data: log.subarray(start, end), offset, at });
    at = end;
  }
  return records;
}

function kindOf(code: number): WriteRecord['kind'] {
  const letter = String.fromCharCode(code);
  for (const [key, kind] of Object.entries(KINDS)) if (key === letter) return kind;
  throw new Error(`the log has a record of kind ${code}`);
}
