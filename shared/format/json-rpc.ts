import { type CommandId, MAX_ID_BYTES, type Params, type Reply } from '../command.js';
import { ERRORS, type WireCode } from '../errors.js';
import { MAX_PAYLOAD_BYTES } from '../limits.js';
import { type CutResult, isCutResult, utf8Head } from './cut.js';
import { LONGEST_JOURNAL_IDENTITY } from './journal-identity.js';
import { type Entry, errorMessage, type Message, REPLY_MESSAGE, type Request } from './message.js';
import { isRecord, toJson } from './value.js';

/** Most requests in one batch; their replies share one datagram. */
export const MAX_BATCH = 16;

/** Encodes a JSON-RPC document as JSON or CBOR. */
export type Writer = (document: unknown) => Uint8Array;

/** A reply and the id of its request. */
export interface Answer {
  readonly id: CommandId | undefined;
  readonly reply: Reply<WireCode>;
}

/**
 * Reads a JSON-RPC 2.0 document, already parsed from JSON or CBOR: a request, a notification, or a batch (§6).
 * The member `jsonrpc` may be missing; responses, such as those of another device's agent, are ignored.
 *
 * @param write encodes the reply: a batch is refused when its replies could not fit one datagram
 * @param replyLimit most bytes of that datagram
 */
export function parseJsonRpc(document: unknown, write: Writer, replyLimit = MAX_PAYLOAD_BYTES): Message {
  if (!Array.isArray(document)) {
    const entry = parseEntry(document);
    return entry === undefined ? REPLY_MESSAGE : { entries: [entry], batch: false };
  }
  if (document.length === 0) return errorMessage('invalid-request', 'the batch is empty');
  if (document.length > MAX_BATCH)
    return errorMessage('invalid-request', `the batch has more than ${MAX_BATCH} requests`);
  const entries = document.map(parseEntry).filter((entry) => entry !== undefined);
  if (smallestReplies(entries, write) > replyLimit) {
    return errorMessage('invalid-request', 'the replies to this batch cannot fit one datagram');
  }
  return { entries, batch: true };
}

function parseEntry(document: unknown): Entry | undefined {
  if (!isRecord(document)) return invalid('a request is an object');
  const { jsonrpc, method, params, id, deadline, journal } = document;
  if (method === undefined && ('result' in document || 'error' in document)) return undefined;
  if (id !== undefined && !isId(id)) return invalid('the id is not a string, number or null, or is too long');
  if (jsonrpc !== undefined && jsonrpc !== '2.0') return invalid('the member jsonrpc is not "2.0"', id);
  if (typeof method !== 'string') return invalid('the member method is missing or not a string', id);
  const sorted = sortParams(params);
  if (sorted === undefined) return invalid('the member params is neither an array nor an object', id);
  if (deadline !== undefined && !isDeadline(deadline))
    return invalid('the member deadline is not a Unix time in seconds', id);
  const request = { name: method, params: sorted, deadline, asksJournal: journal === true || undefined };
  return { request: id === undefined ? request : { id, ...request } };
}

export const isDeadline = (deadline: unknown): deadline is number =>
  typeof deadline === 'number' && Number.isFinite(deadline) && deadline >= 0;

/** §5: the error for a request whose id is not known has the id null. */
const invalid = (message: string, id: CommandId = null): Entry => ({ id, error: { code: 'invalid-request', message } });

function isId(id: unknown): id is CommandId {
  if (typeof id === 'number') return Number.isInteger(id) ? Number.isSafeInteger(id) : Number.isFinite(id);
  return id === null || (typeof id === 'string' && Buffer.byteLength(id) <= MAX_ID_BYTES);
}

function sortParams(params: unknown): Params | undefined {
  if (params === undefined) return { positional: [], named: {} };
  if (Array.isArray(params)) return { positional: params, named: {} };
  return isRecord(params) ? { positional: [], named: params } : undefined;
}

/** The longest output whose size is sure to find room in a batch: no handler on a gateway writes 10 GB in its time. */
const MOST_RESULT_BYTES = 9_999_999_999;

/** Returns the size of the replies with each result cut to nothing: it depends on the ids and on what is asked. */
function smallestReplies(entries: readonly Entry[], write: Writer): number {
  const wanted = entries.filter((entry) => 'error' in entry || entry.request.id !== undefined);
  const cut = { cut: true, bytes: MOST_RESULT_BYTES, head: '' };
  const responses = wanted.map((entry) =>
    'error' in entry ? success(entry.id, cut) : success(entry.request.id, cut, possibleNotes(entry.request)),
  );
  return write(responses).length;
}

const possibleNotes = ({ deadline, asksJournal }: Request): Notes => ({
  ...(deadline !== undefined && { clockSynchronized: false }),
  ...(asksJournal === true && { journal: LONGEST_JOURNAL_IDENTITY }),
});

/**
 * Encodes replies as one JSON-RPC document of at most `limit` bytes. If it is too long, results become
 * `{ cut: true, bytes, head }` and messages of errors are cut, all of a batch to the same length. If even empty heads are
 * too long, errors are sent without the code in their `data`, which their number repeats. If even then there is no room
 * for the mark of a refusal that was not recorded, that answer is left out: without its mark it would not be true, and
 * the caller must expect that an answer is lost.
 *
 * @throws SupersimError `bad-reply` when a result cannot be encoded
 */
export function formatJsonRpc(answers: readonly Answer[], batch: boolean, write: Writer, limit: number): Uint8Array {
  const document = (responses: readonly Response[]) => write(batch ? responses : responses[0]);
  const whole = document(answers.map(wholeResponse));
  if (whole.length <= limit) return whole;
  const cutters = answers.map((answer) => cutter(answer, write));
  const attempt = (head: number, bare: boolean) => document(cutters.map((cut) => cut(head, bare)));
  const coded = attempt(0, false);
  const bare = coded.length > limit;
  const shortest = bare ? attempt(0, true) : coded;
  const unrecorded = batch && shortest.length > limit ? answers.findLastIndex(isUnrecorded) : -1;
  if (unrecorded !== -1) return formatJsonRpc(answers.toSpliced(unrecorded, 1), batch, write, limit);
  return longestWithin(shortest, (head) => attempt(head, bare), limit);
}

/**
 * Returns the document with the longest heads of results that has at most `limit` bytes; else the shortest, with none. Documents
 * grow with their heads, mostly evenly, so the length is interpolated; every third step halves what is left, whatever the
 * text is like.
 */
function longestWithin(shortest: Uint8Array, attempt: (head: number) => Uint8Array, limit: number): Uint8Array {
  let best = shortest;
  let bytesPerHeadByte = 1;
  for (let low = 0, high = limit, step = 1; low < high; step++) {
    const room = Math.floor((limit - best.length) / bytesPerHeadByte);
    const half = Math.ceil((high - low) / 2);
    const head = low + (step % 3 === 0 ? half : Math.min(Math.max(room, 1), high - low));
    const cut = attempt(head);
    bytesPerHeadByte = Math.max(1, (cut.length - best.length) / (head - low));
    if (cut.length <= limit) {
      best = cut;
      low = head;
    } else {
      high = head - 1;
    }
  }
  return best;
}

/**
 * Cuts a document of replies that was encoded when more could leave: as {@link formatJsonRpc}, but each of its responses
 * that has a result or a message is cut, and errors keep their code.
 */
export function cutJsonRpc(document: unknown, write: Writer, limit: number): Uint8Array {
  const attempt = (head: number) =>
    write(
      Array.isArray(document) ? document.map((response) => cutWritten(response, head)) : cutWritten(document, head),
    );
  return longestWithin(attempt(0), attempt, limit);
}

function cutWritten(response: unknown, head: number): unknown {
  if (!isRecord(response)) return response;
  const { result, error } = response;
  if (isRecord(error)) return { ...response, error: { ...error, message: utf8Head(String(error['message']), head) } };
  const whole = cutNowhere(result);
  return { ...response, result: { ...whole, head: headOf(whole.head, head) } };
}

/** A response object (§5). */
type Response = Readonly<Record<string, unknown>>;

type ErrorReply = Extract<Reply<WireCode>, { readonly error: unknown }>;
/** What a response says beside its result: members of its object. */
type Notes = Omit<Exclude<Reply<WireCode>, ErrorReply>, 'result'>;

const success = (id: CommandId | undefined, result: unknown, notes: Notes = {}): Response => ({
  jsonrpc: '2.0',
  id: id ?? null,
  result,
  ...notes,
});

const notesOf = ({ clockSynchronized, forgotten, journal }: Notes): Notes => ({
  ...(clockSynchronized === false && { clockSynchronized }),
  ...(forgotten === true && { forgotten }),
  ...(journal !== undefined && { journal }),
});

/** @param bare without the code in `data`; the mark stays, which changes what the error means */
function failure(
  id: CommandId | undefined,
  { error: { code }, recorded, journal }: ErrorReply,
  message: string,
  bare: boolean,
): Response {
  const data = { ...(!bare && { code }), ...(recorded === false && { recorded }) };
  const error = { code: ERRORS[code].wire.jsonRpc, message, ...(Object.keys(data).length > 0 && { data }) };
  return { jsonrpc: '2.0', id: id ?? null, error, ...(journal !== undefined && { journal }) };
}

const isUnrecorded = ({ reply }: Answer): boolean => 'error' in reply && reply.recorded === false;

function wholeResponse({ id, reply }: Answer): Response {
  if ('error' in reply) return failure(id, reply, reply.error.message, false);
  return success(id, reply.result ?? null, notesOf(reply));
}

/** Makes a response with a head of so many bytes, or the whole response where that is not longer. */
function cutter(answer: Answer, write: Writer): (head: number, bare: boolean) => Response {
  const cutAt = cutResponse(answer);
  // A result that is cut already only gets shorter.
  if (!('error' in answer.reply) && isCutResult(answer.reply.result)) return cutAt;
  const whole = wholeResponse(answer);
  const size = write(whole).length;
  return (head, bare) => {
    const cut = cutAt(head, bare);
    return write(cut).length < size ? cut : whole;
  };
}

function cutResponse({ id, reply }: Answer): (head: number, bare: boolean) => Response {
  if ('error' in reply) {
    const { message } = reply.error;
    return (head, bare) => failure(id, reply, utf8Head(message, head), bare);
  }
  const notes = notesOf(reply);
  const { bytes, head } = cutNowhere(reply.result);
  return (length) => success(id, { cut: true, bytes, head: headOf(head, length) } satisfies CutResult, notes);
}

/** Returns the form of a cut result, with all of the result that there is. */
function cutNowhere(result: unknown): CutResult {
  if (isCutResult(result)) return result;
  if (result instanceof Uint8Array) return { cut: true, bytes: result.length, head: result };
  const head = typeof result === 'string' ? result : toJson(result);
  return { cut: true, bytes: Buffer.byteLength(head), head };
}

function headOf(whole: string | Uint8Array, length: number): string | Uint8Array {
  if (typeof whole === 'string') return utf8Head(whole, length);
  return length === 0 ? '' : whole.subarray(0, length);
}
