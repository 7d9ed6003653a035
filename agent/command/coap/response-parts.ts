import { blockOption, blockSize, findBlock } from '../../../shared/coap/block.js';
import { CONTENT_FORMAT, type ContentFormat, isContentFormat } from '../../../shared/coap/content-format.js';
import { type CoapMessage, formatMessage, type Option } from '../../../shared/coap/message.js';
import { findOption, findUint, OPTION, stringOption, uintOption } from '../../../shared/coap/options.js';
import type { CoapRequest } from '../../../shared/coap/request.js';
import { type CoapResponse, diagnostic } from '../../../shared/coap/response.js';
import type { ResponseParts } from './received-request.js';
import { blockOf } from './transfers.js';

/** How long a response may be whose peer has not shown that it receives at its address. */
export interface ResponseLimit {
  /** Bytes of the whole message. */
  readonly bytes: number;
  /** The value of an Echo option for a response that is shortened. */
  readonly echo: Buffer | undefined;
}

/** What a response is fitted to. */
export interface Fit {
  readonly request: CoapRequest;
  readonly token: Buffer;
  /** The largest block that can leave now. */
  readonly largest: number;
  /** Undefined where there is none. */
  readonly limit: ResponseLimit | undefined;
}

/**
 * Returns the requested block of a response; the whole response when it fits and no block was requested. Under a limit,
 * a response that is too long goes in the largest blocks with which the message fits: a client of RFC 7959 gets the whole
 * of it, and one of RFC 9175 proves its address on the way.
 *
 * @param extra further options
 */
export function fitResponse(
  response: CoapResponse,
  { request, token, largest, limit }: Fit,
  extra: readonly Option[] = [],
): ResponseParts {
  const parts = withOptions(inBlocks(response, request, largest), extra);
  if (limit === undefined || sizeOf(parts, token) <= limit.bytes) return parts;
  const options = limit.echo === undefined ? extra : [...extra, { number: OPTION.echo, value: limit.echo }];
  for (let exponent = largest; ; exponent--) {
    const smaller = withOptions(inBlocks(response, request, exponent), options);
    if (exponent === 0 || sizeOf(smaller, token) <= limit.bytes) return smaller;
  }
}

const sizeOf = ({ code, options, payload }: ResponseParts, token: Buffer): number =>
  formatMessage({ type: 'ACK', code, messageId: 0, token, options, payload }).length;

/** Whether a message has one of several blocks. */
export const isBlock = ({ options }: Pick<CoapMessage, 'options'>): boolean =>
  findBlock(options, OPTION.block2) !== undefined;

/** Reads the response that a message has in one piece. */
export function responseOf({ code, options, payload }: CoapMessage): CoapResponse {
  const contentFormat = findUint(options, OPTION.contentFormat);
  const maxAge = findUint(options, OPTION.maxAge);
  const journal = findOption(options, OPTION.journal);
  const has = (number: number) => findOption(options, number) !== undefined;
  return {
    code,
    payload,
    ...(contentFormat !== undefined && isContentFormat(contentFormat) && { contentFormat }),
    ...(maxAge !== undefined && { maxAge }),
    ...(has(OPTION.clockUnsynchronized) && { clockUnsynchronized: true }),
    ...(has(OPTION.unrecorded) && { unrecorded: true }),
    ...(has(OPTION.forgotten) && { forgotten: true }),
    ...(journal !== undefined && { journal: journal.toString() }),
  };
}

const exponentOf = ({ block2 }: CoapRequest, largest: number) => Math.min(block2?.exponent ?? largest, largest);

/** Returns the requested block of a response; the whole response when it fits and no block was requested. */
function inBlocks(response: CoapResponse, request: CoapRequest, largest: number): ResponseParts {
  const { block2 } = request;
  const exponent = exponentOf(request, largest);
  if (block2 === undefined && response.payload.length <= blockSize(exponent)) return plainParts(response);
  // Blocks that are smaller than requested are numbered in their own size.
  const number = block2 === undefined ? 0 : block2.number << (block2.exponent - exponent);
  const block = blockOf(response, number, exponent);
  if (block === undefined) return plainParts(diagnostic('4.00', 'the body ends before this block'));
  const { bytes, more, eTag } = block;
  const options = [
    { number: OPTION.eTag, value: eTag },
    blockOption(OPTION.block2, { number, more, exponent }),
    uintOption(OPTION.size2, response.payload.length),
  ];
  return withOptions(plainParts({ ...response, payload: bytes }), options);
}

const formatOption = (format: ContentFormat) => uintOption(OPTION.contentFormat, format);

/** Encoded once, as most responses have one of them. */
const FORMAT_OPTIONS: Readonly<Record<ContentFormat, Option>> = {
  [CONTENT_FORMAT.text]: formatOption(CONTENT_FORMAT.text),
  [CONTENT_FORMAT.links]: formatOption(CONTENT_FORMAT.links),
  [CONTENT_FORMAT.bytes]: formatOption(CONTENT_FORMAT.bytes),
  [CONTENT_FORMAT.json]: formatOption(CONTENT_FORMAT.json),
  [CONTENT_FORMAT.cbor]: formatOption(CONTENT_FORMAT.cbor),
};

/** Returns a response in one piece. */
export function plainParts(response: CoapResponse): ResponseParts {
  const { code, contentFormat, maxAge, clockUnsynchronized, unrecorded, forgotten, journal, payload } = response;
  const options: Option[] = [];
  if (clockUnsynchronized) options.push(stringOption(OPTION.clockUnsynchronized, ''));
  if (unrecorded) options.push(stringOption(OPTION.unrecorded, ''));
  if (forgotten) options.push(stringOption(OPTION.forgotten, ''));
  if (journal !== undefined) options.push(stringOption(OPTION.journal, journal));
  if (contentFormat !== undefined) options.push(FORMAT_OPTIONS[contentFormat]);
  if (maxAge !== undefined) options.push(uintOption(OPTION.maxAge, maxAge));
  return { code, options, payload };
}

export const withOptions = (parts: ResponseParts, options: readonly Option[]): ResponseParts =>
  options.length === 0 ? parts : { ...parts, options: [...parts.options, ...options] };
