import * as z from 'zod';
import { type CommandFormat, type CommandId, FORMATS } from '../../../shared/command.js';
import { type Moment, momentSchema } from '../../base/moment.js';
import { ENDS_WITH, type EndsWith } from '../../handlers/handler.js';
import type { ProtectedOrigin } from '../../security/protection.js';
import { type Opened, type RecordContent, readRecord } from '../../storage/record.js';
import { blob, DamagedError } from '../../storage/sqlite.js';

/**
 * `accepted` (waits to run), `started` (runs), and finally `done` (ran to its end, well or not), `interrupted`
 * (started, and may have run) or `refused` (never ran).
 */
export const JOURNAL_STATES = ['accepted', 'started', 'done', 'interrupted', 'refused'] as const;
export type JournalState = (typeof JOURNAL_STATES)[number];

/** How a command ended. `done` and `failed` both end in the state `done`. */
export const JOURNAL_OUTCOMES = ['done', 'failed', 'interrupted', 'refused'] as const;
export type JournalOutcome = (typeof JOURNAL_OUTCOMES)[number];

/** Size of a key: that of a datagram's digest. */
export const KEY_BYTES = 32;

/** The fixed part of an entry, given when the command is accepted. */
export interface JournalCommand {
  /** The digest that identifies a repeat. */
  readonly key: Uint8Array;
  readonly peer: string;
  readonly id?: CommandId | undefined;
  readonly name: string;
  readonly format: CommandFormat;
  /** For a protected request: with which key it is answered, and to what the answer is bound. */
  readonly protection?: ProtectedOrigin | undefined;
  /** Its datagram, opened where it was protected, to run it after a crash. */
  readonly request: Uint8Array;
  readonly source: { readonly address: string; readonly port: number };
  /** The device port and the transport that the reply leaves from. */
  readonly port: number;
  readonly transport: string;
  readonly idempotent: boolean;
  /** Its handler ends the agent; see `Handler`. */
  readonly endsWith?: EndsWith | undefined;
  /** Unix milliseconds; null for none. */
  readonly deadline: number | null;
  /** How long after its end repeats may come: the exchange lifetime of its peer. The entry is not evicted before. */
  readonly lifetimeMs: number;
}

/** A command in the journal: a fixed part, and its progress. */
export interface JournalEntry extends Progress {
  /** Sequence number; the ID in `supersim-agent commands`. */
  readonly seq: number;
  readonly command: JournalCommand;
  readonly received: Moment;
}

export interface Progress {
  readonly state: JournalState;
  /** Number of starts. */
  readonly runs: number;
  readonly started: Moment | null;
  readonly finished: Moment | null;
  readonly outcome: JournalOutcome | null;
  /** The error code, when it ended in one. */
  readonly code: string | null;
  /** The reply as it was sent, for repeats; null without one. */
  readonly reply: Uint8Array | null;
}

/** How a command ended, and its reply. */
export interface Ending {
  readonly outcome: JournalOutcome;
  readonly code?: string | undefined;
  readonly reply?: Uint8Array | undefined;
}

export const isLive = ({ state }: Progress): boolean => state === 'accepted' || state === 'started';

export const acceptedEntry = (command: JournalCommand, seq: number, received: Moment): JournalEntry => ({
  seq,
  command,
  received,
  state: 'accepted',
  runs: 0,
  started: null,
  finished: null,
  outcome: null,
  code: null,
  reply: null,
});

// Member by member here and below: the spread of an object with others added takes V8 a microsecond and more.
export const startedEntry = (entry: JournalEntry, started: Moment): JournalEntry => ({
  seq: entry.seq,
  command: entry.command,
  received: entry.received,
  state: 'started',
  runs: entry.runs + 1,
  started,
  finished: entry.finished,
  outcome: entry.outcome,
  code: entry.code,
  reply: entry.reply,
});

export const endedEntry = (entry: JournalEntry, { outcome, code, reply }: Ending, finished: Moment): JournalEntry => ({
  seq: entry.seq,
  command: entry.command,
  received: entry.received,
  state: outcome === 'failed' ? 'done' : outcome,
  runs: entry.runs,
  started: entry.started,
  finished,
  outcome,
  code: code ?? null,
  reply: reply ?? null,
});

const bytes = z.base64().transform((text) => Buffer.from(text, 'base64'));
/** Without a boot: that of the receipt, as nearly always. */
const laterMoment = momentSchema.partial({ boot: true });
/** The count of writes when it was written; 0.1 did not count. */
const count = z.int().default(0);
const commandSchema = z.object({
  seq: z.int(),
  count,
  received: momentSchema,
  // Of 0.1; now the attachment has it.
  key: bytes.optional(),
  request: bytes.optional(),
  peer: z.string(),
  id: z.union([z.string(), z.number(), z.null()]).optional(),
  name: z.string(),
  format: z.enum([...FORMATS, 'coap']),
  protection: z.object({ key: z.string(), partialIv: z.string().regex(/^(?:[0-9a-f]{2}){1,5}$/) }).optional(),
  source: z.object({ address: z.string(), port: z.int() }),
  port: z.int(),
  transport: z.string(),
  idempotent: z.boolean(),
  endsWith: z.enum(ENDS_WITH).optional(),
  deadline: z.number().nullable(),
  lifetimeMs: z.number(),
});
const progressSchema = z.object({
  seq: z.int(),
  count,
  state: z.enum(JOURNAL_STATES),
  runs: z.int(),
  started: laterMoment.nullable(),
  finished: laterMoment.nullable(),
  outcome: z.enum(JOURNAL_OUTCOMES).nullable(),
  code: z.string().nullable(),
  // Of 0.1; now the attachment is the reply.
  reply: bytes.nullable().optional(),
});

/** Returns the record of the fixed part, which is written once: its attachment is the key and the request. */
export const commandRecord = ({ seq, received, command }: JournalEntry, written: number): RecordContent => ({
  text: JSON.stringify({
    seq,
    count: written,
    received,
    peer: command.peer,
    id: command.id,
    name: command.name,
    format: command.format,
    protection: command.protection,
    source: command.source,
    port: command.port,
    transport: command.transport,
    idempotent: command.idempotent,
    endsWith: command.endsWith,
    deadline: command.deadline,
    lifetimeMs: command.lifetimeMs,
  } satisfies Record<Exclude<keyof JournalCommand, 'key' | 'request'> | 'seq' | 'count' | 'received', unknown>),
  attachments: [command.key, command.request],
});

/** Returns the record of the progress, or nothing: its attachment is the reply, if there is one. */
export function progressRecord(entry: JournalEntry, written: number): RecordContent | Uint8Array {
  const { seq, state, runs, outcome, code, reply, received } = entry;
  // That of a command which started when it was received, as most do.
  if (state === 'started' && runs === 1 && entry.started === received) return NOTHING;
  const started = shortMoment(entry.started, received);
  const finished = shortMoment(entry.finished, received);
  const progress = { seq, count: written, state, runs, started, finished, outcome, code };
  return { text: JSON.stringify(progress), attachments: reply === null ? NONE : [reply] };
}

const NOTHING = new Uint8Array();
const NONE: readonly Uint8Array[] = [];

const shortMoment = (moment: Moment | null, { boot }: Moment) =>
  moment?.boot === boot ? { wall: moment.wall, monotonic: moment.monotonic } : moment;

const wholeMoment = (moment: z.output<typeof laterMoment> | null, { boot }: Moment): Moment | null =>
  moment && { ...moment, boot: moment.boot ?? boot };

/** An entry on the disk, and the size of its records. */
export interface Row {
  readonly entry: JournalEntry;
  readonly bytes: number;
  /** The count of writes when it was written last. */
  readonly count: number;
}

/**
 * Reads an entry from its two records.
 *
 * @throws DamagedError when they are not as they were written, or belong to different entries
 */
export function readEntry(commandRecord: unknown, progressRecord: unknown): Row {
  const first = readRecord(commandSchema, commandRecord);
  const { seq, count: written, received, key, request, ...fixed } = first.document;
  const second = blob(progressRecord).length === 0 ? justStarted(seq) : readRecord(progressSchema, progressRecord);
  const { reply, count: rewritten, ...progress } = second.document;
  if (seq !== progress.seq) throw new DamagedError('a row has the records of two commands');
  const command = {
    ...fixed,
    key: key ?? copyOf(first.attachment?.subarray(0, KEY_BYTES)),
    request: request ?? copyOf(first.attachment?.subarray(KEY_BYTES)),
  };
  if (command.key.length !== KEY_BYTES) throw new DamagedError('a row has no key');
  return {
    entry: {
      ...progress,
      started: second.size === 0 ? received : wholeMoment(progress.started, received),
      finished: wholeMoment(progress.finished, received),
      seq,
      command,
      received,
      reply: second.attachment ?? reply ?? null,
    },
    bytes: first.size + second.size,
    count: Math.max(written, rewritten),
  };
}

const justStarted = (seq: number): Opened<z.output<typeof progressSchema>> => ({
  document: { seq, count: 0, state: 'started', runs: 1, started: null, finished: null, outcome: null, code: null },
  attachment: undefined,
  size: 0,
});

/** What is read of a command that has ended, when the journal is loaded. */
export interface EndedRow extends Pick<JournalEntry, 'seq' | 'outcome' | 'code'> {
  readonly key: Buffer;
  readonly lifetimeMs: number;
  readonly finished: Moment;
  readonly hadReply: boolean;
  readonly bytes: number;
  /** The count of writes when it ended. */
  readonly count: number;
}

const lifetimeSchema = z.object({ received: momentSchema, lifetimeMs: z.number(), key: bytes.optional() });

/**
 * Reads what stays of a command that has ended; reading all of it would take four times as long.
 *
 * @throws DamagedError when its records are not as they were written
 */
export function readEnded(commandRecord: unknown, progressRecord: unknown): EndedRow {
  const { document, attachment, size } = readRecord(lifetimeSchema, commandRecord);
  const progress = readRecord(progressSchema, progressRecord);
  const { seq, outcome, code, finished, reply } = progress.document;
  const key = document.key ?? copyOf(attachment?.subarray(0, KEY_BYTES));
  if (key.length !== KEY_BYTES || finished === null) throw new DamagedError('a row has no key, or has not ended');
  return {
    seq,
    key,
    outcome,
    code,
    lifetimeMs: document.lifetimeMs,
    finished: wholeMoment(finished, document.received) ?? document.received,
    hadReply: (progress.attachment ?? reply ?? null) !== null,
    bytes: size + progress.size,
    count: progress.document.count,
  };
}

/** A copy that does not keep the whole page of rows in memory. */
const copyOf = (bytes: Uint8Array | undefined): Buffer => Buffer.copyBytesFrom(bytes ?? new Uint8Array());
