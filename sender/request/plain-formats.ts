import { type ErrorCode, SupersimError } from '../../shared/errors.js';
import { detectFormat } from '../../shared/format/detect.js';
import { parseJournalIdentity } from '../../shared/format/journal-identity.js';
import { parseTextReply } from '../../shared/format/text-reply.js';
import { fromCbor, isRecord, toCbor, toJson } from '../../shared/format/value.js';
import { SAFE_BINARY_BYTES } from '../../shared/limits.js';
import type { Conversation, Interpretation } from './conversation.js';
import { badInput, type RequestParams, rpcParams, textWords } from './params.js';
import { type DoneMarks, ERROR_CODES, type ErrorDetails, interpretError, isCut, wireOf } from './result.js';

/** The code of an error reply without a known code: it is unknown whether the command ran. */
const UNKNOWN: ErrorCode = 'unknown-error';

export interface PlainCommand {
  readonly format: 'text' | 'json' | 'cbor';
  readonly id: string;
  readonly name: string;
  readonly params: RequestParams | undefined;
  /** Unix seconds. */
  readonly deadline: number | undefined;
  /** Asks for the identity of the device's journal. */
  readonly asksJournal?: boolean | undefined;
}

/**
 * Makes the conversation of a command in text, JSON or CBOR: one datagram, and one reply with the same id.
 *
 * @throws SupersimError `bad-input`, `too-large`
 */
export function plainConversation(command: PlainCommand): Conversation {
  const bytes = write(command);
  if (bytes.length > SAFE_BINARY_BYTES) {
    const message = `the command has ${bytes.length} bytes; a datagram holds ${SAFE_BINARY_BYTES}`;
    throw new SupersimError('too-large', message, { remedy: 'Use CoAP, which sends long commands in blocks.' });
  }
  const { format, id } = command;
  return {
    bytes,
    canRun: true,
    interpret: (reply) => (format === 'text' ? interpretText(reply, id) : interpretRpc(format, reply, id)),
  };
}

function write({ format, id, name, params, deadline, asksJournal = false }: PlainCommand): Buffer {
  if (format === 'text') {
    if (deadline !== undefined) throw badInput('a text command cannot carry a deadline: use CoAP, JSON or CBOR');
    if (asksJournal) throw badInput('a text command cannot ask for the journal: use CoAP, JSON or CBOR');
    const bytes = Buffer.from(`#${id} ${name} ${textWords(params)}`.trimEnd());
    if (detectFormat(bytes) === 'text') return bytes;
    throw badInput('the parameters have control characters, which text cannot carry: use CoAP, JSON or CBOR');
  }
  if (format === 'json' && params instanceof Uint8Array) throw badInput('JSON cannot carry bytes: use CoAP or CBOR');
  const written = rpcParams(params);
  const document = {
    jsonrpc: '2.0',
    method: name,
    ...(written !== undefined && { params: written }),
    id,
    ...(deadline !== undefined && { deadline }),
    ...(asksJournal && { journal: true }),
  };
  try {
    return Buffer.from(format === 'json' ? toJson(document) : toCbor(document));
  } catch (error) {
    throw badInput('the parameters cannot be written in this format', error);
  }
}

function interpretText(bytes: Buffer, id: string): Interpretation {
  const reply = parseTextReply(bytes);
  if (reply?.id !== id) return undefined;
  const { answer } = reply;
  if ('error' in answer) {
    const { error, ...mark } = answer;
    return interpretError(error.code, error.message, UNKNOWN, mark);
  }
  const { result, cut, ...mark } = answer;
  return done(result, cut, mark);
}

/** Reads a response object of JSON-RPC 2.0 (§5). */
function interpretRpc(format: 'json' | 'cbor', bytes: Buffer, id: string): Interpretation {
  const document = parse(format, bytes);
  if (!isRecord(document) || document['id'] !== id) return undefined;
  const { result, error, clockSynchronized, forgotten } = document;
  const identity = parseJournalIdentity(document['journal']);
  const journal = identity === undefined ? {} : { journal: identity };
  if (isRecord(error)) return rpcError(error, journal);
  if (!('result' in document)) return undefined;
  return done(result ?? undefined, isCut(result), {
    ...(clockSynchronized === false && { clockSynchronized }),
    ...(forgotten === true && { forgotten }),
    ...journal,
  });
}

function parse(format: 'json' | 'cbor', bytes: Buffer): unknown {
  try {
    return format === 'json' ? JSON.parse(bytes.toString('utf8')) : fromCbor(bytes);
  } catch {
    return undefined;
  }
}

/** Reads the agent's code from `data` or, where there was no room for it, from the JSON-RPC number. */
function rpcError(
  { code: number, message, data }: Record<string, unknown>,
  journal: Pick<ErrorDetails, 'journal'>,
): Interpretation {
  const { code: written, recorded } = isRecord(data) ? data : {};
  const code = typeof written === 'string' ? written : undefined;
  const byNumber = ERROR_CODES.find((known) => wireOf(known)?.jsonRpc === number);
  return interpretError(code, typeof message === 'string' ? message : '', byNumber ?? UNKNOWN, {
    ...(recorded === false && { recorded }),
    ...journal,
  });
}

function done(result: unknown, cut: boolean, marks: DoneMarks): Interpretation {
  return { type: 'end', ending: { outcome: 'done', result, ...(cut && { cut: true }), ...marks } };
}
