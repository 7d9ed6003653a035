import { type CommandId, MAX_ID_BYTES, type Params, type Reply } from '../command.js';
import { ERRORS, type WireCode } from '../errors.js';
import { MAX_PAYLOAD_BYTES } from '../limits.js';
import { utf8Head } from './cut.js';
import { type Entry, errorMessage, type Message, REPLY_MESSAGE } from './message.js';
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
  const { jsonrpc, method, params, id, deadline } = document;
  if (method === undefined && ('result' in document || 'error' in document)) return undefined;
  if (id !== undefined && !isId(id)) return invalid('the id is not a string, number or null, or is too long');
  if (jsonrpc !== undefined && jsonrpc !== '2.0') return invalid('the member jsonrpc is not "2.0"', id);
  if (typeof method !== 'string') return invalid('the member method is missing or not a string', id);
  const sorted = sortParams(params);
  if (sorted === undefined) return invalid('the member params is neither an array nor an object', id);
  if (deadline !== undefined && !isDeadline(deadline))
    return invalid('the member deadline is not a Unix time in seconds', id);
  const request = { name: method, params: sorted, deadline };
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

/** No result is longer: Node's strings and buffers are limited to less. */
const MOST_RESULT_BYTES = 2 ** 32;

/** Returns the size of the replies if each result were cut to nothing, which depends on the ids. */
function smallestReplies(entries: readonly Entry[], write: Writer): number {
  const wanted = entries.filter((entry) => 'error' in entry || entry.request.id !== undefined);
  const ids = wanted.map((entry) => ('error' in entry ? entry.id : entry.request.id));
  return write(ids.map((id) => success(id, { cut: true, bytes: MOST_RESULT_BYTES, head: '' }))).length;
}

/**
 * Encodes replies as one JSON-RPC document of at most `limit` bytes. If it is too long, results become
 * `{ cut: true, bytes, head }` and messages of errors are cut, all of a batch to the same length. If even empty heads are
 * too long, errors are sent without their `data`, which only repeats their code.
 *
 * @throws SupersimError `bad-reply` when a result cannot be encoded
 */
export function formatJsonRpc(answers: readonly Answer[], batch: boolean, write: Writer, limit: number): Uint8Array {
  const document = (responses: readonly Response[]) => write(batch ? responses : responses[0]);
  const whole = document(answers.map(wholeResponse));
  if (whole.length <= limit) return whole;
  const cutters = answers.map((answer) => cutter(answer, write));
  const attempt = (head: number, bare: boolean) => document(cutters.map((cut) => cut(head, bare)));
  const bare = attempt(0, false).length > limit;
  let best = attempt(0, bare);
  for (let low = 0, high = limit; low < high; ) {
    const head = Math.ceil((low + high) / 2);
    const cut = attempt(head, bare);
    if (cut.length <= limit) {
      best = cut;
      low = head;
    } else {
      high = head - 1;
    }
  }
  return best;
}

/** A response object (§5). */
type Response = Readonly<Record<string, unknown>>;

const success = (id: CommandId | undefined, result: unknown, note: { clockSynchronized?: false } = {}): Response => ({
  jsonrpc: '2.0',
  id: id ?? null,
  result,
  ...note,
});

const failure = (id: CommandId | undefined, code: WireCode, message: string, data?: { code: WireCode }): Response => ({
  jsonrpc: '2.0',
  id: id ?? null,
  error: { code: ERRORS[code].wire.jsonRpc, message, ...(data && { data }) },
});

const noteOf = ({ clockSynchronized }: { readonly clockSynchronized?: false }) =>
  clockSynchronized === false ? { clockSynchronized } : {};

function wholeResponse({ id, reply }: Answer): Response {
  if ('result' in reply) return success(id, reply.result ?? null, noteOf(reply));
  const { code, message } = reply.error;
  return failure(id, code, message, { code });
}

/** Makes a response with a head of so many bytes, or the whole response where that is not longer. */
function cutter(answer: Answer, write: Writer): (head: number, bare: boolean) => Response {
  const whole = wholeResponse(answer);
  const size = write(whole).length;
  const cutAt = cutResponse(answer);
  return (head, bare) => {
    const cut = cutAt(head, bare);
    return write(cut).length < size ? cut : whole;
  };
}

function cutResponse({ id, reply }: Answer): (head: number, bare: boolean) => Response {
  if ('error' in reply) {
    const { code, message } = reply.error;
    return (head, bare) => failure(id, code, utf8Head(message, head), bare ? undefined : { code });
  }
  const { result } = reply;
  const note = noteOf(reply);
  if (result instanceof Uint8Array) {
    const cut = (head: number) => ({
      cut: true,
      bytes: result.length,
      head: head === 0 ? '' : result.subarray(0, head),
    });
    return (head) => success(id, cut(head), note);
  }
  const text = typeof result === 'string' ? result : toJson(result);
  const bytes = Buffer.byteLength(text);
  return (head) => success(id, { cut: true, bytes, head: utf8Head(text, head) }, note);
}
