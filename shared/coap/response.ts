import type { Reply } from '../command.js';
import { ERRORS, SupersimError } from '../errors.js';
import { isCutResult, markedHead } from '../format/cut.js';
import { formatText } from '../format/text.js';
import { oneLine } from '../format/text-reply.js';
import { toCbor, toJson } from '../format/value.js';
import { CONTENT_FORMAT, type ContentFormat, isContentFormat } from './content-format.js';
import { METHOD } from './request.js';

/** A response before it is encoded and split into blocks. */
export interface CoapResponse {
  readonly code: string;
  readonly contentFormat?: ContentFormat;
  readonly payload: Buffer;
  /** See `OPTION.clockUnsynchronized`. */
  readonly clockUnsynchronized?: true;
  /** See `OPTION.unrecorded`. */
  readonly unrecorded?: true;
  /** See `OPTION.forgotten`. */
  readonly forgotten?: true;
  /** See `OPTION.journal`. */
  readonly journal?: string;
  /** Seconds; with 5.03, when to try again (RFC 7252 §5.9.3.4). */
  readonly maxAge?: number;
}

/** Seconds after which a caller may repeat a request that was refused as busy. */
export const BUSY_MAX_AGE_S = 5;

/** Makes an error response with a diagnostic payload (RFC 7252 §5.5.2). */
export const diagnostic = (code: string, text: string): CoapResponse => ({ code, payload: Buffer.from(oneLine(text)) });

/**
 * Makes the response for a command's reply. A result is encoded as the client accepts it, else by its type: text for
 * strings, octets for bytes, JSON for the rest, or CBOR where the request was in CBOR. A cut result has the type of its
 * beginning. An error's diagnostic is `CODE: message` with the code of this project, as several codes share one CoAP
 * code.
 *
 * @throws SupersimError `bad-reply` when the result cannot be written
 */
export function formatResponse(
  reply: Reply,
  method: string,
  accept: number | undefined,
  asked: number | undefined,
): CoapResponse {
  const { journal } = reply;
  const marks = journal === undefined ? {} : { journal };
  if ('error' in reply) {
    const { code, message } = reply.error;
    return {
      ...diagnostic(ERRORS[code].wire.coap, `${code}: ${message}`),
      ...(code === 'busy' && { maxAge: BUSY_MAX_AGE_S }),
      ...(reply.recorded === false && { unrecorded: true }),
      ...marks,
    };
  }
  const { result, clockSynchronized, forgotten } = reply;
  return {
    ...responseWith(result, method === METHOD.get ? '2.05' : '2.04', accept, asked),
    ...(clockSynchronized === false && { clockUnsynchronized: true }),
    ...(forgotten === true && { forgotten }),
    ...marks,
  };
}

function responseWith(
  result: unknown,
  code: string,
  accept: number | undefined,
  asked: number | undefined,
): CoapResponse {
  if (result === undefined || result === null) return { code, payload: Buffer.alloc(0) };
  const contentFormat = accept !== undefined && isContentFormat(accept) ? accept : naturalFormat(result, asked);
  return { code, contentFormat, payload: writeResult(result, contentFormat) };
}

function naturalFormat(result: unknown, asked: number | undefined): ContentFormat {
  if (asked === CONTENT_FORMAT.cbor) return CONTENT_FORMAT.cbor;
  if (asked === CONTENT_FORMAT.json) return CONTENT_FORMAT.json;
  const content = isCutResult(result) ? result.head : result;
  if (typeof content === 'string') return CONTENT_FORMAT.text;
  return content instanceof Uint8Array ? CONTENT_FORMAT.bytes : CONTENT_FORMAT.json;
}

function writeResult(result: unknown, contentFormat: ContentFormat): Buffer {
  switch (contentFormat) {
    case CONTENT_FORMAT.json:
      return Buffer.from(toJson(result));
    case CONTENT_FORMAT.cbor:
      return Buffer.from(toCbor(result));
    default:
      return writePlainly(isCutResult(result) ? markedHead(result) : result, contentFormat);
  }
}

function writePlainly(content: unknown, contentFormat: ContentFormat): Buffer {
  if (content instanceof Uint8Array || typeof content === 'string') return Buffer.from(content);
  if (contentFormat === CONTENT_FORMAT.text) return Buffer.from(formatText(content));
  throw new SupersimError('bad-reply', 'the result is neither bytes nor a string');
}
