import { isUtf8 } from 'node:buffer';
import type { Params } from '../command.js';
import { messageOf } from '../errors.js';
import { isDeadline } from '../format/json-rpc.js';
import { paramsFromText, paramsFromWords } from '../format/text.js';
import { fromCbor, isRecord } from '../format/value.js';
import { type Block, findBlock } from './block.js';
import { CONTENT_FORMAT } from './content-format.js';
import type { CoapMessage } from './message.js';
import { findOption, findUint, OPTION, stringOptions, usableOptions } from './options.js';

export const METHOD = { get: '0.01', post: '0.02' } as const;

const PROXY: readonly number[] = [OPTION.proxyUri, OPTION.proxyScheme];

/** A request, read from its options (RFC 7252 §5.10, RFC 7959, RFC 9175). */
export interface CoapRequest {
  readonly method: string;
  readonly path: readonly string[];
  readonly query: readonly string[];
  readonly contentFormat: number | undefined;
  readonly accept: number | undefined;
  readonly block1: Block | undefined;
  readonly block2: Block | undefined;
  /** The size of the whole body, if the client sent it. */
  readonly size1: number | undefined;
  readonly requestTag: Buffer | undefined;
  /** Set when the response is to carry the identity of the device's journal. */
  readonly asksJournal?: true | undefined;
  readonly payload: Buffer;
}

/** Why a request is rejected, as in a response. */
export interface Rejection {
  readonly code: '4.00' | '4.02' | '4.15' | '5.05';
  readonly diagnostic: string;
}

/** Reads a request's options. Any `Uri-Host` and `Uri-Port` are accepted. */
export function readRequest({ code, options, payload }: CoapMessage): CoapRequest | Rejection {
  // RFC 7252 §5.10.2: before any other error.
  if (options.some(({ number }) => PROXY.includes(number))) return { code: '5.05', diagnostic: 'this is not a proxy' };
  const { usable, critical } = usableOptions(options);
  if (critical !== undefined) return { code: '4.02', diagnostic: `option ${critical} is not understood` };
  const block1 = findBlock(usable, OPTION.block1);
  const block2 = findBlock(usable, OPTION.block2);
  if (block1 === 'reserved' || block2 === 'reserved') return { code: '4.00', diagnostic: 'block size 7 is reserved' };
  return {
    method: code,
    path: stringOptions(usable, OPTION.uriPath),
    query: stringOptions(usable, OPTION.uriQuery),
    contentFormat: findUint(usable, OPTION.contentFormat),
    accept: findUint(usable, OPTION.accept),
    block1,
    block2,
    size1: findUint(usable, OPTION.size1),
    requestTag: findOption(usable, OPTION.requestTag),
    asksJournal: findOption(usable, OPTION.journal) !== undefined || undefined,
    payload,
  };
}

/** Parameters, and whether they are words, among which numbers are strings. */
export interface CoapParams {
  readonly params: Params;
  readonly words: boolean;
  /** From `deadline=` in the query: Unix seconds. */
  readonly deadline?: number | undefined;
}

/**
 * Reads a request's parameters from its query (`key=value` by name, other words by position) and its payload: an object or
 * an array in JSON or CBOR, words as in a text command, or bytes.
 */
export function readParams(
  query: readonly string[],
  payload: Buffer,
  contentFormat: number | undefined,
): CoapParams | Rejection {
  try {
    const fromPayload = readPayload(payload, contentFormat);
    if ('code' in fromPayload) return fromPayload;
    if (query.length === 0) return fromPayload;
    const fromQuery = paramsFromWords(query);
    const { deadline: written, ...rest } = fromQuery.named;
    const deadline = written === undefined ? undefined : Number(written);
    if (deadline !== undefined && !isDeadline(deadline)) {
      return { code: '4.00', diagnostic: 'deadline is not a Unix time in seconds' };
    }
    const named = { ...rest, ...fromPayload.params.named };
    const positional = [...fromQuery.positional, ...fromPayload.params.positional];
    return { params: { positional, named }, words: true, deadline };
  } catch (error) {
    return { code: '4.00', diagnostic: messageOf(error) };
  }
}

const NOTHING: CoapParams = { params: { positional: [], named: {} }, words: true };

function readPayload(payload: Buffer, contentFormat: number | undefined): CoapParams | Rejection {
  if (payload.length === 0) return NOTHING;
  const utf8 = isUtf8(payload);
  if (!utf8 && (contentFormat === CONTENT_FORMAT.json || contentFormat === CONTENT_FORMAT.text)) {
    return { code: '4.00', diagnostic: 'the payload is not UTF-8' };
  }
  switch (contentFormat ?? (utf8 ? CONTENT_FORMAT.text : CONTENT_FORMAT.bytes)) {
    case CONTENT_FORMAT.json:
      return fromDocument(JSON.parse(payload.toString()));
    case CONTENT_FORMAT.cbor:
      return fromDocument(fromCbor(payload));
    case CONTENT_FORMAT.text:
      return { params: paramsFromText(payload.toString()), words: true };
    case CONTENT_FORMAT.bytes:
      return { params: { positional: [payload], named: {} }, words: false };
    default:
      return { code: '4.15', diagnostic: `content format ${contentFormat} is not understood` };
  }
}

function fromDocument(document: unknown): CoapParams | Rejection {
  if (Array.isArray(document)) return { params: { positional: document, named: {} }, words: false };
  if (isRecord(document)) return { params: { positional: [], named: document }, words: false };
  return { code: '4.00', diagnostic: 'the payload is neither an object nor an array' };
}
