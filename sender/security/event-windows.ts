import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { SharedKey } from '../../shared/oscore/identities.js';
import {
  acceptUnseen,
  EVENT_WINDOW_SIZE,
  isFresh,
  isUnseen,
  type ReplayWindow,
  windowFrom,
} from '../../shared/oscore/replay-window.js';
import { readJson } from '../../shared/sqlite/columns.js';
import { evictOldest } from '../base/evict-oldest.js';
import type { KeyStore } from './store/key-store.js';
import { readRow } from './store/rows.js';

/**
 * Whether an event is new: `true`, as it was not reported before; `unknown`, as it may be from before the first event of
 * its device that was reported, and perhaps somebody has recorded it.
 */
export type EventFreshness = true | 'unknown';

/** The part of a key that all keys of a device with one master secret have in common: its events are the same for them. */
export type EventKey = Pick<SharedKey, 'masterSecret' | 'deviceId'>;

/** The numbers of events, by device. */
export interface EventWindows {
  /**
   * Takes the number of an event that is about to be reported. It is on the disk when this returns, and no process takes
   * it again.
   *
   * @returns `repeat` when it was taken before, or is too old to tell
   * @throws SupersimError `keys-unusable`
   */
  record(key: EventKey, number: number): EventFreshness | 'repeat';
  /** Judges an event without storing anything: one that was reported before, by whomever, is `unknown`. */
  look(key: EventKey, number: number): EventFreshness;
}

/** Most devices whose numbers are kept while one only looks. */
const MAX_LOOKED = 10_000;
const KEY_DIGITS = 32;

const rowSchema = z.object({
  floor: z.int().min(0),
  numbers: readJson.pipe(z.array(z.int().min(0)).max(EVENT_WINDOW_SIZE)),
});

/** Identifies the numbers of a device: by the secret, as a new one begins anew. */
export const eventKeyId = ({ masterSecret, deviceId }: EventKey): string =>
  createHash('sha256').update(masterSecret).update(` ${deviceId}`).digest('hex').slice(0, KEY_DIGITS);

/** Makes the windows of the file with the keys, shared by all processes of this installation. */
export function createEventWindows(store: KeyStore): EventWindows {
  const looked = new Map<string, ReplayWindow>();

  const read = (id: string): ReplayWindow | undefined =>
    readRow(store, rowSchema, 'SELECT floor, CAST(numbers AS BLOB) AS numbers FROM event_windows WHERE key = ?', [id]);

  function write(id: string, { floor, numbers }: ReplayWindow): void {
    const sql = 'INSERT OR REPLACE INTO event_windows (key, floor, numbers) VALUES (?, ?, ?)';
    store.run(sql, [id, floor, JSON.stringify(numbers)]);
  }

  return {
    record(key, number) {
      const id = eventKeyId(key);
      return store.transaction(() => {
        const { freshness, next } = judge(read(id), number);
        if (next !== undefined) write(id, next);
        return freshness;
      });
    },
    look(key, number) {
      const id = eventKeyId(key);
      const { freshness, next } = judge(looked.get(id) ?? read(id), number);
      if (next !== undefined) looked.set(id, next);
      evictOldest(looked, MAX_LOOKED);
      return freshness === true ? true : 'unknown';
    },
  };
}

interface Judgement {
  readonly freshness: EventFreshness | 'repeat';
  /** The window with the number; undefined when it does not take it. */
  readonly next: ReplayWindow | undefined;
}

/** Events overtake each other, the first one too: lower ones are taken, but may be old. */
function judge(window: ReplayWindow | undefined, number: number): Judgement {
  if (window === undefined) return { freshness: 'unknown', next: windowFrom(number) };
  if (!isUnseen(window, number, EVENT_WINDOW_SIZE)) return { freshness: 'repeat', next: undefined };
  const freshness = isFresh(window, number) ? true : 'unknown';
  return { freshness, next: acceptUnseen(window, number, EVENT_WINDOW_SIZE) };
}
