import { type Block, blockOption } from './block.js';
import type { ContentFormat } from './content-format.js';
import { formatMessage, type Option } from './message.js';
import { OPTION, stringOption, uintOption } from './options.js';

/** A confirmable request before it is encoded: the counterpart of `readRequest`. */
export interface RequestParts {
  readonly method: string;
  readonly path: readonly string[];
  readonly query: readonly string[];
  readonly requestTag: Buffer;
  /** The Echo value of the device's challenge (RFC 9175 §2). */
  readonly echo?: Buffer | undefined;
  /** Asks for the identity of the device's journal. */
  readonly asksJournal?: true | undefined;
  readonly contentFormat?: ContentFormat | undefined;
  readonly block1?: Block | undefined;
  readonly block2?: Block | undefined;
  /** Bytes of the whole body; with its first block (RFC 7959 §4). */
  readonly size1?: number | undefined;
  readonly payload: Buffer;
}

/**
 * Encodes a confirmable request (RFC 7252 §5.1).
 *
 * @param messageId 0 to 65535
 * @param token 0 to 8 bytes
 */
export function formatRequest(parts: RequestParts, messageId: number, token: Buffer): Buffer {
  const { method, payload } = parts;
  return formatMessage({ type: 'CON', code: method, messageId, token, options: requestOptions(parts), payload });
}

function requestOptions(parts: RequestParts): Option[] {
  const { path, query, requestTag, contentFormat, block1, block2, size1, asksJournal, echo } = parts;
  const options = [
    ...path.map((segment) => stringOption(OPTION.uriPath, segment)),
    ...query.map((word) => stringOption(OPTION.uriQuery, word)),
    { number: OPTION.requestTag, value: requestTag },
  ];
  if (echo !== undefined) options.push({ number: OPTION.echo, value: echo });
  if (contentFormat !== undefined) options.push(uintOption(OPTION.contentFormat, contentFormat));
  if (block1 !== undefined) options.push(blockOption(OPTION.block1, block1));
  if (block2 !== undefined) options.push(blockOption(OPTION.block2, block2));
  if (size1 !== undefined) options.push(uintOption(OPTION.size1, size1));
  if (asksJournal === true) options.push(stringOption(OPTION.journal, ''));
  return options;
}
