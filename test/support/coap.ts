import { type Block, blockOption } from '../../shared/coap/block.js';
import {
  type CoapMessage,
  formatMessage,
  type MessageType,
  type Option,
  parseMessage,
} from '../../shared/coap/message.js';
import { findUint, OPTION, stringOption, uintOption } from '../../shared/coap/options.js';

/** A request as a test puts it; what is not said is a confirmable POST without a token. */
export interface RequestSetup {
  readonly type?: MessageType;
  readonly method?: string;
  readonly messageId?: number;
  readonly token?: string;
  readonly path?: string;
  readonly query?: readonly string[];
  readonly contentFormat?: number;
  readonly accept?: number;
  readonly block1?: Block;
  readonly block2?: Block;
  readonly size1?: number;
  readonly requestTag?: string;
  /** Besides those above. */
  readonly options?: readonly Option[];
  readonly payload?: string | Uint8Array;
}

export function requestMessage(setup: RequestSetup = {}): CoapMessage {
  const { type = 'CON', method = '0.02', messageId = 1, token = '', path = '', payload = '' } = setup;
  const options = path.split('/').flatMap((segment) => (segment === '' ? [] : [stringOption(OPTION.uriPath, segment)]));
  for (const word of setup.query ?? []) options.push(stringOption(OPTION.uriQuery, word));
  const { contentFormat, accept, block1, block2, size1, requestTag } = setup;
  if (contentFormat !== undefined) options.push(uintOption(OPTION.contentFormat, contentFormat));
  if (accept !== undefined) options.push(uintOption(OPTION.accept, accept));
  if (block1 !== undefined) options.push(blockOption(OPTION.block1, block1));
  if (block2 !== undefined) options.push(blockOption(OPTION.block2, block2));
  if (size1 !== undefined) options.push(uintOption(OPTION.size1, size1));
  if (requestTag !== undefined) options.push({ number: OPTION.requestTag, value: Buffer.from(requestTag) });
  options.push(...(setup.options ?? []));
  return { type, code: method, messageId, token: Buffer.from(token), options, payload: Buffer.from(payload) };
}

export const requestBytes = (setup?: RequestSetup): Buffer => formatMessage(requestMessage(setup));

/** `CON 0.02 #7 "token" payload`: all of a message that one looks at first. */
export function summary(bytes: Buffer): string {
  const { type, code, messageId, token, payload } = parseMessage(bytes);
  return `${type} ${code} #${messageId}${token.length > 0 ? ` "${token}"` : ''}${payload.length > 0 ? ` ${payload}` : ''}`;
}

/** The same without the message ID, which is anyone's guess where the device chooses it. */
export const withoutId = (bytes: Buffer): string => summary(bytes).replace(/ #\d+/, '');

export const numberOption = (message: Pick<CoapMessage, 'options'>, number: number): number | undefined =>
  findUint(message.options, number);
