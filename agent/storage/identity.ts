import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import type { Moment } from '../base/moment.js';
import { readRecord, writeRecord } from './record.js';
import type { Query } from './worker.js';

/** Who a journal is: what was remembered in one is not known to another. */
export interface JournalIdentity {
  /** Twelve hexadecimal digits. */
  readonly id: string;
  readonly created: Moment;
  /** When it was found that the one before was lost, and with it what it remembered. */
  readonly lost: Moment | null;
}

const moment = z.object({ wall: z.number(), monotonic: z.number(), boot: z.string() });
const identitySchema = z.object({ id: z.string().regex(/^[0-9a-f]{12}$/), created: moment, lost: moment.nullable() });
const rowSchema = z.object({ record: z.unknown() });

export const createIdentity = (now: Moment, isLost: boolean): JournalIdentity => ({
  id: randomBytes(6).toString('hex'),
  created: now,
  lost: isLost ? now : null,
});

export const IDENTITY_QUERY: Query = { sql: 'SELECT record FROM journal', values: [] };

export const replaceIdentity = (identity: JournalIdentity): Query => ({
  sql: 'INSERT OR REPLACE INTO journal (only, record) VALUES (1, ?)',
  values: [writeRecord(JSON.stringify(identity))],
});

/** Reads the identity; undefined where the database has none yet. @throws DamagedError */
export function parseIdentity(rows: readonly unknown[]): JournalIdentity | undefined {
  const parsed = rowSchema.safeParse(rows[0]);
  return parsed.success ? readRecord(identitySchema, parsed.data.record).document : undefined;
}
