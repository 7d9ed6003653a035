import * as z from 'zod';
import { isSupersimError } from '../../../shared/errors.js';
import { ownCopy } from '../../base/memory.js';
import { ageOf, type Clock, momentSchema } from '../../base/moment.js';
import type { RunStatement } from '../../storage/batch.js';
import type { Database, WriteCallback } from '../../storage/database.js';
import { readRecord } from '../../storage/record.js';
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
  /** Calls `listener` when the entries of the previous run are there; at once if they are. */
  onLoaded(listener: () => void): void;
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
 * Opens the outbox with the entries of the previous run. Where they cannot be read now they come when they can be, before
 * those that came meanwhile.
 *
 * An entry expires by the time that remained when it was pushed, so that setting the clock neither prolongs nor
 * shortens it; over a boot the wall clock counts, but at least the time since the boot.
 */
export async function openOutbox(
  database: Database,
  clock: Clock,
  limits: OutboxLimits = OUTBOX_LIMITS,
): Promise<Outbox> {
  let items: OutboxItem[] = [];
  let isLoaded = false;
  let isLoading = false;
  const listeners: (() => void)[] = [];
  // Above the numbers of entries that have not been read yet.
  const firstSeq = clock().wall;
  let nextSeq = firstSeq;
  let bytes = 0;
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

  /** Takes an item in, and drops what is too much then. @returns whether it stays itself */
  function add(item: OutboxItem): boolean {
    const dropped = isExpired(item)
      ? new Map<number, DropCause>([[item.seq, 'expired']])
      : dropsFor(items, item, limits);
    for (const cause of dropped.values()) drops[cause]++;
    take(new Set(dropped.keys()));
    if (dropped.has(item.seq)) return false;
    items.push(item);
    bytes += item.bytes.length;
    return true;
  }

  async function load(): Promise<void> {
    if (isLoaded || isLoading) return;
    isLoading = true;
    const rows = await readItems(database).finally(() => {
      isLoading = false;
    });
    if (rows === undefined) return;
    isLoaded = true;
    // Those that came meanwhile may be among them.
    takeUp(rows.filter(({ seq }) => seq < firstSeq || seq >= nextSeq));
    for (const listener of listeners) listener();
  }

  /** Puts the items of the previous run before those of this one. */
  function takeUp(loaded: OutboxItem[]): void {
    const own = items;
    const last = loaded.at(-1)?.seq ?? 0;
    nextSeq = nextSeq === firstSeq ? last + 1 : Math.max(nextSeq, last + 1);
    items = loaded;
    bytes = loaded.reduce((sum, item) => sum + item.bytes.length, 0);
    for (const item of own) if (!add(item)) leaving.push(item.seq);
    if (leaving.length > 0) write(undefined);
  }

  // A start does not wait for a disk that does not answer.
  await database.whileAnswering(load).catch(ignoreBusy);
  database.onOpen(() => void load());

  return {
    push({ expiresAt, ...message }, done = ignore) {
      expire();
      const pushed = clock();
      const item = {
        ...message,
        bytes: ownCopy(message.bytes),
        seq: nextSeq++,
        pushed,
        ttlMs: expiresAt - pushed.wall,
      };
      const stays = add(item);
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
    onLoaded(listener) {
      if (isLoaded) listener();
      else listeners.push(listener);
    },
    get size() {
      return { entries: items.length, bytes };
    },
    drops,
  };
}

const ignore = () => undefined;

function ignoreBusy(error: unknown): void {
  if (!isSupersimError(error, 'busy')) throw error;
}

function insert(run: RunStatement, item: OutboxItem): void {
  const text = JSON.stringify({ ...item, bytes: item.bytes.toString('base64') });
  run(INSERT, [item.seq, { text, attachments: [] }]);
}

/** @returns undefined when the disk cannot be read now */
async function readItems(database: Database): Promise<OutboxItem[] | undefined> {
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
