import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { messageOf } from '../../shared/errors.js';
import { type Moment, momentSchema } from '../base/moment.js';
import { COUNT_NAME, DATABASE_NAME } from './folder.js';
import { readRecord, writeRecord } from './record.js';
import { DamagedError } from './sqlite.js';
import type { Answer, Opening, Request } from './worker.js';
import type { WorkerLink } from './worker-link.js';

/** Who a journal is: what was remembered in one is not known to another. */
export interface DatabaseIdentity {
  /** Twelve hexadecimal digits. */
  readonly id: string;
  readonly created: Moment;
  /** When it was found that the one before was lost, and with it what it remembered. */
  readonly lost: Moment | null;
}

const identitySchema = z.object({
  id: z.string().regex(/^[0-9a-f]{12}$/),
  created: momentSchema,
  lost: momentSchema.nullable(),
});
const rowSchema = z.object({ record: z.unknown() });

export const createIdentity = (now: Moment, isLost: boolean): DatabaseIdentity => ({
  id: randomBytes(6).toString('hex'),
  created: now,
  lost: isLost ? now : null,
});

/** The request that gives the database an identity. */
export const identify = (identity: DatabaseIdentity): Request => ({
  kind: 'identify',
  id: identity.id,
  record: writeRecord(JSON.stringify(identity)),
});

/** Reads the identity; undefined where the database has none yet. @throws DamagedError */
export function parseIdentity(rows: readonly unknown[]): DatabaseIdentity | undefined {
  const parsed = rowSchema.safeParse(rows[0]);
  return parsed.success ? readRecord(identitySchema, parsed.data.record).document : undefined;
}

/** The identity of a database that was opened, and why what was remembered before is lost. */
export interface Established {
  readonly identity: DatabaseIdentity;
  readonly loss: string | undefined;
}

/**
 * Reads the identity of a database that was just opened, or gives it one, and finds out whether the journal before was
 * lost.
 *
 * @param knownLoss why it is already known to be lost
 * @throws (rejects) DamagedError when the database was damaged, and is set aside; Error when it cannot be used now
 */
export async function establishIdentity(
  link: WorkerLink,
  opening: Opening & { readonly kind: 'opened' },
  now: Moment,
  knownLoss: string | undefined,
): Promise<Established> {
  const { marker, damage, writable } = opening;
  const known = await readIdentity(link);
  const marked = typeof marker === 'object' ? marker.id : undefined;
  const loss = knownLoss ?? damage?.cause ?? lossOf(opening, marked, known?.id);
  if (known !== undefined && (loss === undefined || !writable)) {
    if (writable && marked !== known.id) expectAnswer(await link.ask({ kind: 'mark', marker: { id: known.id } }));
    return { identity: known, loss: undefined };
  }
  const identity = createIdentity(now, loss !== undefined);
  if (writable) expectAnswer(await link.ask(identify(identity)));
  return { identity, loss: writable ? loss : undefined };
}

/** @param marked the identity of the journal that there was; undefined where that is not known */
function lossOf(
  { created, counted, writable }: Opening & { readonly kind: 'opened' },
  marked: string | undefined,
  known: string | undefined,
): string | undefined {
  if (created) {
    const existed = marked !== undefined || (counted ?? 0) > 0;
    return existed ? `there was a journal, but ${DATABASE_NAME} is missing` : undefined;
  }
  if (marked === undefined) return undefined;
  if (marked !== known) return `${DATABASE_NAME} is that of another journal`;
  // Without the count nobody can tell whether writes are missing.
  return counted === undefined && writable ? `${COUNT_NAME} is missing or cannot be read` : undefined;
}

const IDENTITY_QUERY = { sql: 'SELECT record FROM journal', values: [] };

async function readIdentity(link: WorkerLink): Promise<DatabaseIdentity | undefined> {
  const memory = new ArrayBuffer(0);
  const answer = await link.ask({ kind: 'batch', sql: [], memory, length: 0, queries: [IDENTITY_QUERY], count: 0 });
  const [rows = []] = answer.results;
  const failure = answer.failure ?? ('kind' in rows ? rows : undefined);
  if (failure?.kind === 'damaged') throw new DamagedError(failure.reason);
  if (failure !== undefined || 'kind' in rows) throw new Error(failure?.reason);
  try {
    return parseIdentity(rows);
  } catch (error) {
    const aside = await link.ask({ kind: 'set-aside', cause: messageOf(error) });
    throw new DamagedError(aside.failure?.reason);
  }
}

function expectAnswer({ failure }: Answer): void {
  if (failure !== undefined) throw new Error(failure.reason);
}
