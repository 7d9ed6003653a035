import { isUtf8 } from 'node:buffer';
import { type CoapMessage, MessageFormatError, parseMessage } from '../../../shared/coap/message.js';
import type { Format } from '../../../shared/command.js';
import { messageOf } from '../../../shared/errors.js';
import { detectFormat } from '../../../shared/format/detect.js';
import { parseJsonRpc } from '../../../shared/format/json-rpc.js';
import { errorMessage, type Message } from '../../../shared/format/message.js';
import { parseText } from '../../../shared/format/text.js';
import { fromCbor } from '../../../shared/format/value.js';
import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import type { ListenedPort } from '../../config/schema.js';
import { writers } from './encode.js';

/** A decoded datagram; undefined when it is malformed, and so cannot be answered. */
export type Decoded =
  | { readonly format: Format; readonly message: Message }
  | { readonly format: 'coap'; readonly coapMessage: CoapMessage }
  | undefined;

/**
 * Decodes a datagram in the format of its port, or on an `auto` port in the format that its first bytes tell.
 * A port pinned to a format accepts no other.
 *
 * @param replyLimit the longest reply in bytes; ids that do not fit it are refused
 */
export function decode(bytes: Buffer, port: ListenedPort, replyLimit = MAX_PAYLOAD_BYTES): Decoded {
  if (port.format === 'raw') return { format: 'raw', message: rawMessage(bytes, port.handler ?? '') };
  const detected = detectFormat(bytes);
  if (port.format !== 'auto' && port.format !== detected) return undefined;
  switch (detected) {
    case 'text':
      return { format: 'text', message: parseText(bytes.toString('utf8')) };
    case 'json':
      return { format: 'json', message: parseJson(bytes, replyLimit) };
    case 'cbor':
      return { format: 'cbor', message: parseCbor(bytes, replyLimit) };
    case 'coap':
      return parseCoap(bytes);
    case 'malformed':
      return undefined;
  }
}

const rawMessage = (bytes: Buffer, name: string): Message => ({
  entries: [{ request: { name, params: { positional: [bytes], named: {} } } }],
  batch: false,
});

function parseCoap(bytes: Buffer): Decoded {
  try {
    return { format: 'coap', coapMessage: parseMessage(bytes) };
  } catch (error) {
    if (error instanceof MessageFormatError) return undefined;
    throw error;
  }
}

function parseJson(bytes: Buffer, replyLimit: number): Message {
  if (!isUtf8(bytes)) return errorMessage('parse-error', 'the JSON is not UTF-8', null);
  try {
    return parseJsonRpc(JSON.parse(bytes.toString('utf8')), writers.json, replyLimit);
  } catch (error) {
    return errorMessage('parse-error', `the JSON cannot be parsed: ${messageOf(error)}`, null);
  }
}

function parseCbor(bytes: Buffer, replyLimit: number): Message {
  try {
    return parseJsonRpc(fromCbor(bytes), writers.cbor, replyLimit);
  } catch (error) {
    return errorMessage('parse-error', `the CBOR cannot be parsed: ${messageOf(error)}`, null);
  }
}
