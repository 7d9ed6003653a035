import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { GATEWAY, scaled } from '../../shared/coap/parameters.js';
import { COMMAND_NAME, MAX_NAME_LENGTH } from '../../shared/command.js';
import { type Duration, durationSchema, milliseconds } from '../../shared/duration.js';
import { SupersimError } from '../../shared/errors.js';
import { DEVICE_PORT, type REMEMBERED } from '../../shared/limits.js';
import { MAX_SEQUENCE_NUMBER } from '../../shared/oscore/sequence-number.js';
import type { IpCommandClient } from '../api/client.js';
import { pollingReplies, type ReplySource } from '../replies/polling.js';
import type { OperatorKey } from '../security/keys/operator-key.js';
import { type AddressedSim, defaultSecurity, type SenderSecurity, type SimLookup } from '../security/security.js';
import { coapConversation, DOWN_BLOCK_BYTES, MAX_RESULT_BYTES } from './coap.js';
import type { Conversation } from './conversation.js';
import type { RequestParams } from './params.js';
import { plainConversation } from './plain-formats.js';
import { createDatagramProtection, overheadOf, type RequestProtection, type StoreProtection } from './protection.js';
import type { RequestResult } from './result.js';
import { endBefore, type RequestProgress, runRequest } from './run-request.js';

/** The formats in which a command can be sent. */
export const REQUEST_FORMATS = ['coap', 'json', 'cbor', 'text'] as const;
export type RequestFormat = (typeof REQUEST_FORMATS)[number];

export const DEFAULT_REQUEST_TIMEOUT: Duration = '5min';

/**
 * A request's tokens, ids and message IDs are derived from its identity. A request that is made again with the same
 * identity, SIM, command and options gets the outcome of the first, as long as the device remembers it
 * ({@link REMEMBERED}): so a request can be resumed after its process has ended. A device whose journal was lost
 * meanwhile runs the command again; `journal` of the options asks which one it has.
 */
export interface RequestIdentity {
  /** Six bytes. */
  readonly tag: Uint8Array;
  /** 0 to 65535. */
  readonly messageId: number;
  /**
   * How it was protected, as `onProtection` of the options was told; without it a request that is made `again` was made
   * without protection before.
   */
  readonly protection?: RequestProtection | undefined;
}

export interface RequestOptions {
  /** Default `coap`, the only format whose parameters and results can be longer than a datagram. */
  readonly format?: RequestFormat | undefined;
  /** CoAP: sends a GET, for commands that are declared safe; the parameters are words then. */
  readonly get?: boolean | undefined;
  /** Unix time in seconds after which the device must not start the command. Text cannot carry one. */
  readonly deadline?: number | undefined;
  /** Longest wait for an answer, or for the next block of one: 100ms to 24h, default 5min. */
  readonly timeout?: Duration | undefined;
  /** UDP port on the device; default 6969. */
  readonly devicePort?: number | undefined;
  /**
   * Asks for the identity of the device's journal, which is the result's `journal` then; an older agent does not answer
   * that. Text cannot ask.
   */
  readonly journal?: boolean | undefined;
  /** Default: random. See {@link RequestIdentity}. */
  readonly identity?: RequestIdentity | undefined;
  /** Set when a request with this identity may have been made before: it then never ends as `not-sent`. */
  readonly again?: boolean | undefined;
  /** Stops the request: it ends as `not-sent` if nothing was sent, else as `no-answer`. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RequestProgress) => void) | undefined;
  /**
   * Told how the request is protected, before a datagram with a new sequence number leaves. Store it with the identity
   * to make the request again: it is then the same datagrams, which the device recognises.
   */
  readonly onProtection?: StoreProtection | undefined;
}

/**
 * Runs a command on a SIM's device, and returns its outcome. Lost datagrams are repeated; a device recognises a repeat
 * by its token and message ID, or its id, and runs the command once.
 *
 * @param sim the SIM's SID or unique name
 * @returns exactly one outcome; a failure of network, API or device does not make it reject
 * @throws (rejects) SupersimError `bad-input` or `too-large` when the command cannot be written; nothing was sent
 */
export type RequestFunction = (
  sim: string,
  name: string,
  params?: RequestParams,
  options?: RequestOptions,
) => Promise<RequestResult>;

/** What requests need of the keys. */
export type RequestSecurity = Pick<SenderSecurity, 'keyFor' | 'keyById' | 'expectOwn' | 'draw' | 'takeTurn'>;

export interface RequesterOptions {
  readonly client: Pick<IpCommandClient, 'create' | 'pages'> & SimLookup;
  /**
   * The keys, from `openSecurity()`; default: those of the default profile. Requests to a SIM with a key are protected with
   * it, and only answers that are protected count. False protects nothing.
   */
  readonly security?: RequestSecurity | false | undefined;
  /** Default: {@link pollingReplies} of the client. Share one among requesters. */
  readonly replies?: ReplySource | undefined;
  /**
   * URL that the vendor calls with the status of each datagram: of a webhook receiver whose `onCallback` is the
   * `handleCallback` of `replies`. With it, `not-sent` says why.
   */
  readonly callbackUrl?: string | undefined;
  /** For tests: multiplies the times of the protocol, such as the 30 s before the first repeat. */
  readonly timeScale?: number | undefined;
}

function randomIdentity() {
  const bytes = randomBytes(8);
  return { tag: bytes.subarray(0, 6), messageId: bytes.readUInt16BE(6) };
}

const blockSchema = z.object({ number: z.int().min(0).max(MAX_SEQUENCE_NUMBER), digest: z.string() });

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
      protection: z
        .object({
          key: z.string(),
          blocks: z.array(blockSchema).max(MAX_RESULT_BYTES / DOWN_BLOCK_BYTES),
          echo: z.instanceof(Uint8Array).optional(),
        })
        .optional(),
    })
    .default(randomIdentity),
  journal: z.boolean().default(false),
  again: z.boolean().default(false),
});

type RequestInput = z.output<typeof inputSchema>;

/**
 * Finds the key under which a request is protected, if there is one, and what to call the SIM.
 *
 * @throws SupersimError `key-required`, `key-revoked`, `keys-copied`, `keys-unusable`; and as the API's client
 */
async function address(
  security: RequestSecurity,
  client: SimLookup,
  { sim, format, again, identity: { protection } }: RequestInput,
): Promise<AddressedSim> {
  const earlier = protection && security.keyById(sim, protection.key);
  if (protection !== undefined && earlier === undefined) {
    throw new SupersimError('key-revoked', `the key with which the request to ${sim} was protected was revoked`);
  }
  const addressed = earlier ?? (await security.keyFor(sim, client));
  if (addressed.key === undefined) return addressed;
  security.expectOwn();
  if (again && protection === undefined) {
    throw new SupersimError('key-required', `${sim} has a key now, and the request was made without it earlier`);
  }
  if (format === 'coap') return addressed;
  throw new SupersimError('key-required', `${sim} has a key, and a command in ${format} cannot be protected`);
}

/** Waits for a request's turn. A request that is stopped meanwhile has none, and ends at once. */
async function turnOf(
  security: RequestSecurity | false,
  key: OperatorKey | undefined,
  signal: AbortSignal | undefined,
): Promise<() => void> {
  const none = () => {};
  return security === false || key === undefined ? none : security.takeTurn(key.id, signal).catch(() => none);
}

/** Creates `request()`. */
export function createRequester(options: RequesterOptions): RequestFunction {
  const { client, replies = pollingReplies(client), callbackUrl, timeScale = 1 } = options;
  const security = options.security ?? defaultSecurity();
  const parameters = timeScale === 1 ? GATEWAY : scaled(GATEWAY, timeScale);
  return async (sim, name, params, { signal, onProgress, onProtection, ...rest } = {}) => {
    const input = checkInput(inputSchema, { sim, name, ...rest }, 'the request');
    const unprotected = startConversation(input, undefined, params);
    let addressed: AddressedSim;
    try {
      addressed = security === false ? { sim, target: sim, key: undefined } : await address(security, client, input);
    } catch (error) {
      return endBefore(error, input.again);
    }
    const { key } = addressed;
    const conversation = key === undefined ? unprotected : startConversation(input, key, params);
    const earlier = input.identity.protection;
    const endTurn = await turnOf(security, key, signal);
    return runRequest({
      client,
      replies,
      parameters,
      conversation,
      protection:
        security === false || key === undefined
          ? undefined
          : createDatagramProtection({ key, draw: security.draw, earlier, store: onProtection }),
      callbackUrl,
      signal,
      onProgress,
      ...input,
      ...addressed,
      timeout: milliseconds(input.timeout),
    }).finally(endTurn);
  };
}

/**
 * Checks whether a command can be encoded. Sends nothing.
 *
 * @throws SupersimError `bad-input`, `too-large`
 */
export function checkRequest(name: string, params?: RequestParams, options: RequestOptions = {}): void {
  const { signal: _, onProgress: __, onProtection: ___, ...rest } = options;
  startConversation(checkInput(inputSchema, { sim: 'any', name, ...rest }, 'the request'), undefined, params);
}

function startConversation(input: RequestInput, key: OperatorKey | undefined, params?: RequestParams): Conversation {
  const { format, name, get, deadline, identity, journal } = input;
  const tag = Buffer.from(identity.tag);
  const common = { name, params, deadline, asksJournal: journal };
  if (format === 'coap') {
    const { messageId, protection } = identity;
    const echo = protection?.echo && Buffer.from(protection.echo);
    const sentBlocks = protection?.blocks.length;
    return coapConversation({ ...common, get, tag, messageId, echo, sentBlocks, overhead: key && overheadOf(key) });
  }
  checkInput(z.literal(false, 'only CoAP has GET'), get, 'get');
  return plainConversation({ ...common, format, id: tag.toString('hex') });
}
