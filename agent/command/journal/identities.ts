import * as z from 'zod';
import { ERRORS, FINAL_CODES, type FinalCode } from '../../../shared/errors.js';
import { type Moment, momentSchema } from '../../base/moment.js';
import { readRecord, writeRecord } from '../../storage/record.js';
import { DamagedError } from '../../storage/sqlite.js';
import { type EndedRow, JOURNAL_OUTCOMES, type JournalOutcome, KEY_BYTES } from './entry.js';

/** Identities in one group: about what a page of the database holds. */
export const GROUP_SIZE = 100;
/** Key, outcome, flags, and the JSON-RPC number of the error code. */
const IDENTITY_BYTES = KEY_BYTES + 4;
const OUTCOME = KEY_BYTES;
const FLAGS = KEY_BYTES + 1;
const CODE = KEY_BYTES + 2;
const HAD_REPLY = 1;

/** What stays of an ended command when its reply is no longer kept. */
export interface Identity {
  readonly outcome: JournalOutcome;
  /** The error code, when it ended in one that a reply can have. */
  readonly code: FinalCode | undefined;
  readonly hadReply: boolean;
}

/** Identities of commands that ended one after the other. */
export interface IdentityGroup {
  /** The number of its first; numbers are given in the order of the ends. */
  readonly first: number;
  count: number;
  /** When the last of them ended. */
  finished: Moment;
  /** The longest time for which repeats of any of them may come. */
  lifetimeMs: number;
  readonly bytes: Buffer;
}

export const createGroup = (first: number, finished: Moment): IdentityGroup => ({
  first,
  count: 0,
  finished,
  lifetimeMs: 0,
  bytes: Buffer.alloc(GROUP_SIZE * IDENTITY_BYTES),
});

/** A command that has ended, and what of it is kept longest. */
export type Ended = Omit<EndedRow, 'key' | 'count'> & { readonly key: Uint8Array };

/** Adds the identity of a command that has ended. */
export function addIdentity(group: IdentityGroup, ended: Ended): void {
  const { key, outcome, code, hadReply, finished, lifetimeMs } = ended;
  const at = group.count * IDENTITY_BYTES;
  group.bytes.set(key, at);
  group.bytes[at + OUTCOME] = JOURNAL_OUTCOMES.indexOf(outcome ?? 'interrupted');
  group.bytes[at + FLAGS] = hadReply ? HAD_REPLY : 0;
  group.bytes.writeInt16LE(NUMBERS.get(code ?? '') ?? 0, at + CODE);
  group.count++;
  group.finished = finished;
  group.lifetimeMs = Math.max(group.lifetimeMs, lifetimeMs);
}

export const keyAt = ({ bytes }: IdentityGroup, index: number): Buffer =>
  bytes.subarray(index * IDENTITY_BYTES, index * IDENTITY_BYTES + KEY_BYTES);

export function identityAt({ bytes }: IdentityGroup, index: number): Identity {
  const at = index * IDENTITY_BYTES;
  return {
    outcome: JOURNAL_OUTCOMES[bytes.readUInt8(at + OUTCOME)] ?? 'interrupted',
    code: CODES.get(bytes.readInt16LE(at + CODE)),
    hadReply: (bytes.readUInt8(at + FLAGS) & HAD_REPLY) !== 0,
  };
}

const headSchema = z.object({
  first: z.int(),
  count: z.int().min(0).max(GROUP_SIZE),
  finished: momentSchema,
  lifetimeMs: z.number(),
});

export const writeGroup = ({ first, count, finished, lifetimeMs, bytes }: IdentityGroup): Buffer =>
  writeRecord(JSON.stringify({ first, count, finished, lifetimeMs }), bytes.subarray(0, count * IDENTITY_BYTES));

/** @throws DamagedError when it is not as it was written */
export function readGroup(first: number, record: Uint8Array): IdentityGroup {
  const { document, attachment } = readRecord(headSchema, record);
  if (document.first !== first || attachment?.length !== document.count * IDENTITY_BYTES) {
    throw new DamagedError('a group of identities is that of another row');
  }
  return { ...document, bytes: attachment };
}

/** The error codes that a reply can have, by their JSON-RPC numbers, which fit into two bytes. */
const NUMBERS = new Map<string, number>();
const CODES = new Map<number, FinalCode>();
for (const code of FINAL_CODES) {
  const { jsonRpc } = ERRORS[code].wire;
  NUMBERS.set(code, jsonRpc);
  CODES.set(jsonRpc, code);
}
