import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { GATEWAY, scaled } from '../../shared/coap/parameters.js';
import { COMMAND_NAME, MAX_NAME_LENGTH } from '../../shared/command.js';
import { type Duration, durationSchema, milliseconds } from '../../shared/duration.js';
import { DEVICE_PORT } from '../../shared/limits.js';
import type { IpCommandClient } from '../api/client.js';
import { pollingReplies, type ReplySource } from '../replies/polling.js';
import { coapConversation } from './coap.js';
import type { Conversation } from './conversation.js';
import type { RequestResult } from './outcome.js';
import type { RequestParams } from './params.js';
import { plainConversation } from './plain.js';
import { type Progress, runRequest } from './run-request.js';

/** How a command can be written for a device. */
export const REQUEST_FORMATS = ['coap', 'json', 'cbor', 'text'] as const;
export type RequestFormat = (typeof REQUEST_FORMATS)[number];

export const DEFAULT_REQUEST_TIMEOUT: Duration = '5min';

/**
 * What a request's tokens, ids and message IDs are made of. Who makes a request again, with the same identity, SIM,
 * command and options, is answered what the first one came to, as long as the device remembers that (`journal.keep`,
 * a day by default): so a request goes on after its process was ended.
 */
export interface RequestIdentity {
  /** Six bytes. */
  readonly tag: Uint8Array;
  /** 0 to 65535. */
  readonly messageId: number;
}

export interface RequestOptions {
  /** Default `coap`, the only one whose parameters and results can be longer than a datagram. */
  readonly format?: RequestFormat | undefined;
  /** CoAP: asks by GET, which works for commands that are declared safe; the parameters are words then. */
  readonly get?: boolean | undefined;
  /** Unix time in seconds after which the device must not begin with the command. Text cannot carry one. */
  readonly deadline?: number | undefined;
  /** Longest wait for an answer, or for the next block where there are several: 100ms to 24h, default 5min. */
  readonly timeout?: Duration | undefined;
  /** UDP port on the device; default 6969. */
  readonly devicePort?: number | undefined;
  /** By what a device knows the command when it comes again; default: by chance. See {@link RequestIdentity}. */
  readonly identity?: RequestIdentity | undefined;
  /** Says that a request with this identity may have been made before: then nothing can be `not-sent`. */
  readonly again?: boolean | undefined;
  /** Ends the waiting: `not-sent` when nothing went, else `no-answer`. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Runs a command on a SIM's device, and tells the truth about what came of it. Lost datagrams are repeated; a device
 * knows them by their token and message ID, or their id, and runs the command once.
 *
 * @param sim the SIM's SID or unique name
 * @returns exactly one outcome; no failure of network, API or device makes it reject
 * @throws (rejects) SupersimError `bad-input` or `too-large` when the command cannot be written; nothing was sent
 */
export type RequestFunction = (
  sim: string,
  name: string,
  params?: RequestParams,
  options?: RequestOptions,
) => Promise<RequestResult>;

export interface RequesterOptions {
  readonly client: Pick<IpCommandClient, 'create' | 'pages'>;
  /** Default: {@link pollingReplies} of the client. Share one among requesters. */
  readonly replies?: ReplySource | undefined;
  /**
   * Where the vendor tells what became of each datagram: a webhook receiver whose `onCallback` is the `hear` of
   * `replies`. With it, `not-sent` says why.
   */
  readonly callbackUrl?: string | undefined;
  /** For tests: what the times of the protocol, such as the 30 s before the first repeat, are multiplied by. */
  readonly timeScale?: number | undefined;
}

function randomIdentity() {
  const bytes = randomBytes(8);
  return { tag: bytes.subarray(0, 6), messageId: bytes.readUInt16BE(6) };
}

const inputSchema = z.object({
  sim: z.string().min(1),
  name: z.string().max(MAX_NAME_LENGTH).regex(COMMAND_NAME, 'must be dotted words'),
  format: z.enum(REQUEST_FORMATS).default('coap'),
  get: z.boolean().default(false),
  deadline: z.int().min(0).optional(),
  timeout: durationSchema('100ms', '24h').default(DEFAULT_REQUEST_TIMEOUT),
  devicePort: z.int().min(1).max(65_535).default(DEVICE_PORT),
  identity: z
    .object({
      tag: z.instanceof(Uint8Array).refine(({ length }) => length === 6),
      messageId: z.int().min(0).max(0xffff),
    })
    .default(randomIdentity),
  again: z.boolean().default(false),
});

type RequestInput = z.output<typeof inputSchema>;

/** Makes `request()`. */
export function createRequester(options: RequesterOptions): RequestFunction {
  const { client, replies = pollingReplies(client), callbackUrl, timeScale = 1 } = options;
  const parameters = timeScale === 1 ? GATEWAY : scaled(GATEWAY, timeScale);
  return async (sim, name, params, { signal, onProgress, ...rest } = {}) => {
    const input = checkInput(inputSchema, { sim, name, ...rest }, 'the request');
    const conversation = startConversation(input, params);
    return runRequest({
      client,
      replies,
      parameters,
      conversation,
      callbackUrl,
      signal,
      onProgress,
      ...input,
      timeout: milliseconds(input.timeout),
    });
  };
}

/**
 * Looks whether a command can be written, and sends nothing.
 *
 * @throws SupersimError `bad-input`, `too-large`
 */
export function checkRequest(name: string, params?: RequestParams, options: RequestOptions = {}): void {
  const { signal: _, onProgress: __, ...rest } = options;
  startConversation(checkInput(inputSchema, { sim: 'any', name, ...rest }, 'the request'), params);
}

function startConversation(input: RequestInput, params?: RequestParams): Conversation {
  const { format, name, get, deadline, identity } = input;
  const tag = Buffer.from(identity.tag);
  if (format === 'coap') return coapConversation({ name, params, get, deadline, tag, messageId: identity.messageId });
  checkInput(z.literal(false, 'only CoAP has GET'), get, 'get');
  return plainConversation({ format, id: tag.toString('hex'), name, params, deadline });
}
