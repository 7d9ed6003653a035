import { createHash } from 'node:crypto';
import { type Block, blockSize, exponentFor, findBlock, sliceBlock } from '../../shared/coap/block.js';
import { CONTENT_FORMAT } from '../../shared/coap/content-format.js';
import { type CoapMessage, EMPTY_CODE, emptyMessage, formatMessage, parseMessage } from '../../shared/coap/message.js';
import { findOption, findUint, OPTION } from '../../shared/coap/options.js';
import { commandPath } from '../../shared/coap/path.js';
import { METHOD } from '../../shared/coap/request.js';
import { formatRequest } from '../../shared/coap/write-request.js';
import { type ErrorCode, SupersimError } from '../../shared/errors.js';
import { textHead } from '../../shared/format/cut.js';
import { parseJournalIdentity } from '../../shared/format/journal-identity.js';
import { fromCbor } from '../../shared/format/value.js';
import { SAFE_BINARY_BYTES } from '../../shared/limits.js';
import type { Conversation, Interpretation } from './conversation.js';
import { getQuery, postBody, type RequestParams } from './params.js';
import { type DoneMarks, interpretError, isCut, isErrorCode, makeEnding, type RequestEnding } from './result.js';

/** Most bytes of parameters in one datagram: leaves room for the options in the 975 bytes that are safe. */
export const DOWN_BLOCK_BYTES = 512;
/** Longest result that is assembled, in bytes. */
export const MAX_RESULT_BYTES = 1_048_576;

const DOWN_EXPONENT = exponentFor(DOWN_BLOCK_BYTES);
const NOTHING = Buffer.alloc(0);
/** Too many requests, and service unavailable: a repeat may succeed. */
const BUSY_CODES: readonly string[] = ['4.29', '5.03'];
/** Most challenges that one command answers; a device challenges once after each start. */
export const MAX_CHALLENGES = 3;
/** The datagrams of a command with Echo have tokens and message IDs from here on, those without it from 0. */
const FIRST_WITH_ECHO = 0x4000;

export interface CoapCommand {
  readonly name: string;
  readonly params: RequestParams | undefined;
  readonly get: boolean;
  /** Unix seconds. */
  readonly deadline: number | undefined;
  /** Asks for the identity of the device's journal. */
  readonly asksJournal?: boolean | undefined;
  /** Six random bytes: the request's tokens and its Request-Tag are derived from them. */
  readonly tag: Buffer;
  /** Random, 0 to 65535; the message IDs of the request's datagrams count from here. */
  readonly messageId: number;
  /** The Echo value with which the command was sent earlier. */
  readonly echo?: Buffer | undefined;
  /**
   * How many blocks of its parameters were sent earlier, protected; default 0. When all were, the last comes first: only by
   * that does a device recognise that it has run the command, and a block before it may be challenged, and then be sent
   * anew, as what the device has never seen.
   */
  readonly sentBlocks?: number | undefined;
  /** Most bytes that its protection adds to a datagram; default 0. */
  readonly overhead?: number | undefined;
}

/** A result of which some blocks have arrived. */
interface Received {
  readonly first: CoapMessage;
  readonly body: Buffer;
  /** Size exponent of the last block. */
  readonly exponent: number;
}

/**
 * Makes the conversation of a command in CoAP (RFC 7252): one confirmable request, or several where its parameters
 * (Block1) or its result (Block2, RFC 7959) are sent in blocks. Each has a token and a message ID of its own; all have
 * the same Request-Tag. A device that challenges a request (Echo, RFC 9175 §2.4) has not run the command: it is sent anew
 * from its first block, with the value of the challenge.
 *
 * @throws SupersimError `bad-input`, `too-large`
 */
export function coapConversation(command: CoapCommand): Conversation {
  const { get, params, deadline, tag } = command;
  const query = get ? getQuery(params) : [];
  if (deadline !== undefined) query.push(`deadline=${deadline}`);
  const body = get ? { payload: NOTHING } : postBody(params);
  const common = {
    method: get ? METHOD.get : METHOD.post,
    path: commandPath(command.name).slice(1).split('/'),
    query,
    requestTag: tag,
    asksJournal: command.asksJournal === true || undefined,
  };
  const tokenOf = (index: number) => Buffer.concat([tag, Buffer.of(index >> 8, index & 0xff)]);
  const messageIdOf = (index: number) => (command.messageId + index) & 0xffff;
  const total = Math.ceil(body.payload.length / DOWN_BLOCK_BYTES);
  const wasSent = total > 1 && (command.sentBlocks ?? 0) >= total;
  const first = checkSize(upload(0, command.echo, 0), command.overhead);
  return wasSent ? upload(total - 1, command.echo, 0) : first;

  /** Makes the request, or this block of it. @param challenges how many have been answered */
  function upload(number: number, echo: Buffer | undefined, challenges: number): Conversation {
    const { bytes, more } = sliceBlock(body.payload, number, DOWN_EXPONENT) ?? { bytes: NOTHING, more: false };
    const block1 = { number, more, exponent: DOWN_EXPONENT };
    const size1 = number === 0 ? body.payload.length : undefined;
    const index = number + firstIndex(echo);
    const parts = {
      ...common,
      ...body,
      ...(total > 1 && { block1, size1 }),
      ...(number === 0 && { echo }),
      payload: bytes,
    };
    return {
      bytes: formatRequest(parts, messageIdOf(index), tokenOf(index)),
      part: { block: number, echo },
      canRun: !more,
      isSafe: get,
      interpret: (reply, repeated) =>
        interpret(reply, index, (response) => {
          const challenge = challengeOf(response);
          if (challenge !== undefined && challenges < MAX_CHALLENGES) {
            const next = upload(0, challenge, challenges + 1);
            return { type: 'next', next, progress: { type: 'challenged' } };
          }
          if (response.code !== '2.31') return firstResponse(response, index, !more && (repeated || wasSent));
          if (!more) return undefined;
          const block = { way: 'down', number: number + 1, total } as const;
          return { type: 'next', next: upload(number + 1, echo, challenges), progress: { type: 'block', block } };
        }),
    };
  }

  /** @param mayHaveRun whether an earlier copy of the datagram can have run the command */
  function firstResponse(response: CoapMessage, index: number, mayHaveRun: boolean): Interpretation {
    // Its diagnostic is not fetched, even if it came in blocks: the mark is what counts.
    if (has(response.options, OPTION.unrecorded)) return conclusion(response, response.payload);
    const block = findBlock(response.options, OPTION.block2);
    if (block === 'reserved' || (block !== undefined && block.number !== 0)) return undefined;
    if (block?.more === true) {
      return more({ first: response, body: response.payload, exponent: block.exponent }, index, block);
    }
    if (response.code === '4.08' && mayHaveRun) {
      return { type: 'end', ending: makeEnding('no-answer', 'no-answer', 'the device lost the blocks of the command') };
    }
    return conclusion(response, response.payload);
  }

  /** Requests the next block of the result. The handler does not run again: the agent keeps its result. */
  function more(received: Received, lastIndex: number, { exponent }: Block): Interpretation {
    const index = lastIndex + 1;
    const { first, body: head } = received;
    const size = blockSize(exponent);
    const total = findUint(first.options, OPTION.size2);
    const blocks = total === undefined ? undefined : Math.ceil(total / size);
    const done = head.length / size;
    const partial = () => partialEnding(received);
    const broken = (): Interpretation => ({ type: 'end', ending: partial() });
    if (head.length >= MAX_RESULT_BYTES || index > 0xffff || !Number.isInteger(done)) return broken();
    const parts = { ...common, block2: { number: done, more: false, exponent }, payload: NOTHING };
    const next: Conversation = {
      bytes: formatRequest(parts, messageIdOf(index), tokenOf(index)),
      canRun: true,
      partial,
      interpret: (reply) =>
        interpret(reply, index, (response) => {
          const block = findBlock(response.options, OPTION.block2);
          const fits =
            block !== undefined &&
            block !== 'reserved' &&
            block.number * blockSize(block.exponent) === head.length &&
            sameBody(response, first);
          if (!fits) return BUSY_CODES.includes(response.code) ? undefined : broken();
          const body = Buffer.concat([head, response.payload]);
          if (!block.more) return conclusion(first, body);
          if (response.payload.length !== blockSize(block.exponent)) return broken();
          return more({ first, body, exponent: block.exponent }, index, block);
        }),
    };
    const block = { way: 'up', number: done, ...(blocks !== undefined && { total: blocks }) } as const;
    return { type: 'next', next, progress: { type: 'block', block } };
  }

  /** Interprets a message if it belongs to the datagram with this index. */
  function interpret(
    bytes: Buffer,
    index: number,
    onResponse: (response: CoapMessage) => Interpretation,
  ): Interpretation {
    const message = tryParse(bytes);
    if (message === undefined) return undefined;
    const { type, code, token, messageId } = message;
    const sameId = messageId === messageIdOf(index);
    if (code === EMPTY_CODE) return sameId ? emptyMessageMeaning(type) : undefined;
    // RFC 7252 §5.3.2: a separate response is known by its token alone, one in an ACK by its message ID too.
    if (type === 'RST' || (type === 'ACK' && !sameId) || !token.equals(tokenOf(index)) || !/^[245]/.test(code)) {
      return undefined;
    }
    const reply = onResponse(message);
    if (type !== 'CON' || reply === undefined || reply.type === 'accepted') return reply;
    return { ...reply, acknowledge: formatMessage(emptyMessage('ACK', messageId)) };
  }
}

function checkSize(conversation: Conversation, overhead = 0): Conversation {
  const length = conversation.bytes.length + overhead;
  if (length <= SAFE_BINARY_BYTES) return conversation;
  throw new SupersimError('too-large', `the request has ${length} bytes; a datagram holds ${SAFE_BINARY_BYTES}`);
}

/** The message IDs of a command with another Echo value are others, as the datagrams are. */
const firstIndex = (echo: Buffer | undefined): number =>
  echo === undefined
    ? 0
    : FIRST_WITH_ECHO + (createHash('sha256').update(echo).digest().readUInt16BE() % FIRST_WITH_ECHO);

/** Returns the Echo value of a challenge (RFC 9175 §2.4). */
const challengeOf = ({ code, options }: CoapMessage): Buffer | undefined =>
  code === '4.01' ? findOption(options, OPTION.echo) : undefined;

function tryParse(bytes: Buffer): CoapMessage | undefined {
  try {
    return parseMessage(bytes);
  } catch {
    return undefined;
  }
}

function emptyMessageMeaning(type: CoapMessage['type']): Interpretation {
  if (type === 'ACK') return { type: 'accepted' };
  if (type !== 'RST') return undefined;
  return {
    type: 'end',
    ending: makeEnding('refused', 'invalid-request', 'the device rejected the message (CoAP reset)'),
  };
}

/** RFC 7959 §2.4: blocks of one body have one ETag. */
function sameBody(response: CoapMessage, first: CoapMessage): boolean {
  const [theirs, sameId] = [response, first].map(({ options }) => findOption(options, OPTION.eTag));
  return (
    response.code === first.code &&
    (theirs === undefined || sameId === undefined ? theirs === sameId : theirs.equals(sameId))
  );
}

/** Returns the ending that a complete response means. */
function conclusion(response: CoapMessage, payload: Buffer): Interpretation {
  const { code, options } = response;
  if (!code.startsWith('2.')) return errorResponse(code, payload, options);
  try {
    const result = readResult(options, payload);
    const cut = isCut(result) && ({ cut: true } as const);
    return { type: 'end', ending: { outcome: 'done', result, ...cut, ...marksOf(options) } };
  } catch {
    // The command has run, although its result cannot be read.
    return { type: 'end', ending: partialEnding({ first: response, body: payload }) };
  }
}

/**
 * Reads an error response: `CODE: message` from an agent; from other servers, all of it is the message.
 *
 * @param options those that say more about the error
 */
export function errorResponse(
  coapCode: string,
  payload: Buffer,
  options: CoapMessage['options'] = [],
): Exclude<Interpretation, undefined> {
  const [, written, rest] = /^([a-z]+(?:-[a-z]+)*): (.*)$/s.exec(payload.toString()) ?? [];
  const known = written !== undefined && isErrorCode(written);
  const message = known ? (rest ?? '') : payload.toString();
  return interpretError(written, message || `CoAP ${coapCode}`, codeOf(coapCode), {
    coapCode,
    ...(has(options, OPTION.unrecorded) && { recorded: false }),
    ...journalOf(options),
  });
}

/** Returns the error code that is nearest to a CoAP code (RFC 7252 §12.1.2). */
function codeOf(coapCode: string): ErrorCode {
  if (coapCode === '4.04') return 'unknown-command';
  if (BUSY_CODES.includes(coapCode)) return 'busy';
  return coapCode.startsWith('4.') ? 'invalid-request' : 'internal-error';
}

/** @throws Error when the payload does not fit its content format */
export function readResult(options: CoapMessage['options'], payload: Buffer): unknown {
  if (payload.length === 0) return emptyResult(options);
  switch (findUint(options, OPTION.contentFormat)) {
    case CONTENT_FORMAT.json:
      return JSON.parse(payload.toString());
    case CONTENT_FORMAT.cbor:
      return fromCbor(payload);
    case CONTENT_FORMAT.text:
    case CONTENT_FORMAT.links:
      return payload.toString();
    default:
      return payload;
  }
}

const has = (options: CoapMessage['options'], number: number): boolean => findOption(options, number) !== undefined;

const marksOf = (options: CoapMessage['options']): DoneMarks => ({
  ...(has(options, OPTION.clockUnsynchronized) && { clockSynchronized: false }),
  ...(has(options, OPTION.forgotten) && { forgotten: true }),
  ...journalOf(options),
});

function journalOf(options: CoapMessage['options']): Pick<DoneMarks, 'journal'> {
  const journal = parseJournalIdentity(findOption(options, OPTION.journal)?.toString('latin1'));
  return journal === undefined ? {} : { journal };
}

/** Returns the result of an empty payload: without a content format, the handler returned nothing. */
function emptyResult(options: CoapMessage['options']): unknown {
  const contentFormat = findUint(options, OPTION.contentFormat);
  if (contentFormat === CONTENT_FORMAT.text) return '';
  return contentFormat === CONTENT_FORMAT.bytes ? NOTHING : undefined;
}

/** Returns the ending if the rest of the result does not arrive: how the command ended, and the head of its result. */
function partialEnding({ first, body }: Pick<Received, 'first' | 'body'>): RequestEnding {
  if (!first.code.startsWith('2.')) {
    const reply = errorResponse(first.code, body, first.options);
    if (reply.type === 'end') return reply.ending;
  }
  const bytes = findUint(first.options, OPTION.size2);
  const head = findUint(first.options, OPTION.contentFormat) === CONTENT_FORMAT.bytes ? body : textHead(body);
  const result = { cut: true, ...(bytes !== undefined && { bytes }), head };
  return { outcome: 'done', cut: true, result, ...marksOf(first.options) };
}
