import * as z from 'zod';
import { isSupersimError } from '../../../shared/errors.js';
import { ageOf, type Clock, momentSchema } from '../../base/moment.js';
import type { RunStatement } from '../../storage/batch.js';
import type { Database, WriteCallback } from '../../storage/database.js';
import { readRecord, writeRecord } from '../../storage/record.js';
import { DamagedError } from '../../storage/sqlite.js';
import { type DropCause, dropsFor, OUTBOX_KINDS, OUTBOX_LIMITS, type OutboxItem, type OutboxLimits } from './policy.js';

/** A datagram that could not be sent. */
export interface OutboxMessage {
  readonly bytes: Uint8Array;
  readonly destination: { readonly address: string; readonly port: number };
  /** The device port to send from. */
  readonly port: number;
  /** For a reply: name of the transport that the command came by. */
  readonly via?: string | undefined;
  readonly kind: OutboxItem['kind'];
  /** Unix milliseconds; later it is no longer sent. */
  readonly expiresAt: number;
}

/**
 * Replies and events that wait for a link, in order. All are in memory, with a copy on disk for the next start: nothing
 * is read while the agent runs, and entries that cannot be written are still sent.
 */
export interface Outbox {
  /**
   * @param done called without an error when the entry is on disk, or was dropped at the bound
   * @returns whether the entry waits; false when it was itself dropped
   */
  push(message: OutboxMessage, done?: WriteCallback): boolean;
  /** Returns all entries that have not expired, oldest first. They stay until they are removed. */
  waiting(): readonly OutboxItem[];
  /** Removes an entry that was sent. After a crash before the commit it is sent again. */
  remove(seq: number, done?: WriteCallback): void;
  readonly size: { readonly entries: number; readonly bytes: number };
  /** Number of dropped entries, by cause. */
  readonly drops: Readonly<Record<DropCause, number>>;
}

const INSERT = 'INSERT OR REPLACE INTO outbox (seq, record) VALUES (?, ?)';
const DELETE = 'DELETE FROM outbox WHERE seq = ?';

const recordSchema = z.object({
  seq: z.int(),
  bytes: z.base64().transform((text) => Buffer.from(text, 'base64')),
  destination: z.object({ address: z.string(), port: z.int() }),
  port: z.int(),
  via: z.string().optional(),
  kind: z.enum(OUTBOX_KINDS),
  pushed: momentSchema,
  ttlMs: z.number(),
});
const rowSchema = z.object({ record: z.unknown() });

/**
 * Opens the outbox with the entries of the previous run.
 *
 * An entry expires by the time that remained when it was pushed, so that setting the clock neither prolongs nor
 * shortens it; over a boot the wall clock counts, but at least the time since the boot.
 */
export async function openOutbox(
  database: Database,
  clock: Clock,
  limits: OutboxLimits = OUTBOX_LIMITS,
): Promise<Outbox> {
  const loaded = await load(database);
  let items = loaded ?? [];
  // Above the numbers of entries that could not be read, which stay on disk for the next start.
  let nextSeq = loaded === undefined ? clock().wall : (items.at(-1)?.seq ?? 0) + 1;
  let bytes = 0;
  for (const item of items) bytes += item.bytes.length;
  const drops: Record<DropCause, number> = { count: 0, bytes: 0, expired: 0 };
  /** Rows to delete with the next write; bounded by the number of entries. */
  let leaving: number[] = [];

  database.onFresh((run) => {
    for (const item of items) insert(run, item);
  });

  function write(added: OutboxItem | undefined, done: WriteCallback = ignore): void {
    const going = leaving;
    leaving = [];
    database.write(
      (run) => {
        for (const seq of going) run(DELETE, [seq]);
        if (added !== undefined) insert(run, added);
      },
      (error) => {
        if (error !== undefined) leaving = [...going, ...leaving].slice(-limits.entries);
        done(error);
      },
    );
  }

  function take(seqs: ReadonlySet<number>): void {
    items = items.filter((item) => {
      if (!seqs.has(item.seq)) return true;
      bytes -= item.bytes.length;
      leaving.push(item.seq);
      return false;
    });
  }

  const isExpired = ({ pushed, ttlMs }: OutboxItem): boolean => ageOf(pushed, clock()).likely >= ttlMs;

  function expire(): void {
    const expired = items.filter(isExpired);
    if (expired.length === 0) return;
    drops.expired += expired.length;
    take(new Set(expired.map(({ seq }) => seq)));
    write(undefined);
  }

  return {
    push({ expiresAt, ...message }, done = ignore) {
      expire();
      const pushed = clock();
      const item = {
        ...message,
        bytes: Buffer.from(message.bytes),
        seq: nextSeq++,
        pushed,
        ttlMs: expiresAt - pushed.wall,
      };
      const dropped = isExpired(item)
        ? new Map<number, DropCause>([[item.seq, 'expired']])
        : dropsFor(items, item, limits);
      for (const cause of dropped.values()) drops[cause]++;
      take(new Set(dropped.keys()));
      const stays = !dropped.has(item.seq);
      if (stays) {
        items.push(item);
        bytes += item.bytes.length;
      }
      write(stays ? item : undefined, done);
      return stays;
    },
    waiting() {
      expire();
      return [...items];
    },
    remove(seq, done) {
      take(new Set([seq]));
      write(undefined, done);
    },
    get size() {
      return { entries: items.length, bytes };
    },
    drops,
  };
}

const ignore = () => undefined;

function insert(run: RunStatement, item: OutboxItem): void {
  run(INSERT, [item.seq, writeRecord(JSON.stringify({ ...item, bytes: item.bytes.toString('base64') }))]);
}

/** @returns undefined when the disk cannot be read now */
async function load(database: Database): Promise<OutboxItem[] | undefined> {
  try {
    const rows = await database.read('SELECT record FROM outbox ORDER BY seq');
    return rows.map((row) => {
      const parsed = rowSchema.safeParse(row);
      if (!parsed.success) throw new DamagedError('a row has no record');
      return readRecord(recordSchema, parsed.data.record).document;
    });
  } catch (error) {
    if (error instanceof DamagedError) await database.setAside(error);
    else if (!isSupersimError(error, 'busy')) throw error;
    return undefined;
  }
}
