import { createHash } from 'node:crypto';
import { EMPTY_CODE, formatMessage, MessageFormatError, parseMessage } from '../../shared/coap/message.js';
import { findOption, OPTION } from '../../shared/coap/options.js';
import { SupersimError } from '../../shared/errors.js';
import type { RequestBinding } from '../../shared/oscore/binding.js';
import { protectRequest } from '../../shared/oscore/request.js';
import { unprotectResponse } from '../../shared/oscore/response.js';
import { evictOldest } from '../base/evict-oldest.js';
import type { OperatorKey } from '../security/keys/operator-key.js';
import type { DrawNumber } from '../security/numbers.js';
import type { Conversation } from './conversation.js';

/**
 * How the datagrams of a command were protected. With it and the request's identity, another process makes the same
 * datagrams.
 */
export interface RequestProtection {
  /** The id of the key. */
  readonly key: string;
  /** The blocks of the command that were protected so far, in their order: one for a command without blocks. */
  readonly blocks: readonly ProtectedBlock[];
  /** The Echo value of the device's challenge that the command answers. */
  readonly echo?: Uint8Array | undefined;
}

/** A datagram of a command that was protected. */
export interface ProtectedBlock {
  /** Its sequence number. */
  readonly number: number;
  /** Of the datagram before it was protected: with the same number there must never be another one. */
  readonly digest: string;
}

/** Called, and awaited, before a datagram with a new sequence number leaves. */
export type StoreProtection = (protection: RequestProtection) => void | Promise<void>;

/** Protects the datagrams of one request, and opens those that answer it. */
export interface DatagramProtection {
  /** Returns the datagram to post: the same for each copy, except of a safe command that stays without an answer. */
  protect(conversation: Conversation): Promise<Buffer>;
  /** Returns a datagram from the device as it was before its protection; undefined for one that does not count. */
  open(bytes: Buffer): Buffer | undefined;
  /** What the last answer said that does not count, as anyone can have written it. */
  readonly hint: string | undefined;
}

/** No protection. */
export const UNPROTECTED: DatagramProtection = {
  protect: async ({ bytes }) => bytes,
  open: (bytes) => bytes,
  hint: undefined,
};

/** Most bytes that protection adds: option, code, tag and payload marker (RFC 8613 §6), and an Echo option. */
export const overheadOf = ({ sendsKidContext, deviceId }: OperatorKey): number =>
  36 + (sendsKidContext ? 1 + deviceId.length : 0);

/** Copies of a safe command with one sequence number; later ones are protected anew. */
export const SAME_COPIES = 3;
/** Tokens whose answers are still opened: of the datagram that is repeated, and of some before it. */
const MAX_TOKENS = 8;
/** Each copy with another sequence number has a message ID of its own, which begin so far from the first one's. */
const OTHER_MESSAGE_ID = 0x8000;
const MAX_HINT = 100;

/** One datagram as it was posted last. */
interface Sealed {
  bytes: Promise<Buffer>;
  copies: number;
}

/** The ways to open the answers to one token. */
interface Awaited {
  readonly messageId: number;
  readonly bindings: RequestBinding[];
}

export interface ProtectionOptions {
  readonly key: OperatorKey;
  readonly draw: DrawNumber;
  /** How the command was protected earlier, under the same key. */
  readonly earlier: RequestProtection | undefined;
  readonly store: StoreProtection | undefined;
}

/** Makes the protection of one request under a key (RFC 8613 §8.1 and §8.4). */
export function createDatagramProtection({ key, draw, earlier, store }: ProtectionOptions): DatagramProtection {
  const sealed = new WeakMap<Conversation, Sealed>();
  const awaited = new Map<string, Awaited>();
  let current: RequestProtection = earlier ?? { key: key.id, blocks: [] };
  let hint: string | undefined;

  /** Returns the number of a datagram: that of an earlier process, or a new one, which is stored before it is used. */
  async function numberOf({ part, bytes }: Conversation): Promise<number> {
    if (part === undefined) return draw();
    const { block, echo } = part;
    const isSame = echo === undefined ? current.echo === undefined : echo.equals(current.echo ?? NOTHING);
    const before: RequestProtection = isSame ? current : { key: key.id, blocks: [], echo };
    const digest = digestOf(bytes);
    const known = before.blocks[block];
    if (known !== undefined && known.digest !== digest) throw anotherCommand();
    if (known !== undefined) return known.number;
    const number = await draw();
    const next = { ...before, blocks: [...before.blocks.slice(0, block), { number, digest }] };
    await store?.(next);
    current = next;
    return number;
  }

  /** @param offset of the message ID from that of the first copy */
  function seal(plain: Buffer, number: number, offset: number): Buffer {
    const { type, token, messageId, ...parts } = parseMessage(plain);
    const { message, binding } = protectRequest(key.context, number, parts, key);
    const name = token.toString('hex');
    const waiting = awaited.get(name) ?? { messageId, bindings: [] };
    awaited.set(name, waiting);
    waiting.bindings.push(binding);
    evictOldest(awaited, MAX_TOKENS);
    return formatMessage({ type, token, messageId: (messageId + offset) & 0xffff, ...message });
  }

  return {
    async protect(conversation) {
      const { bytes, isSafe = false } = conversation;
      const last = sealed.get(conversation);
      const copies = (last?.copies ?? 0) + 1;
      const isAnew = isSafe && copies > SAME_COPIES;
      const next =
        last !== undefined && !isAnew
          ? last.bytes
          : (isAnew ? draw() : numberOf(conversation)).then((number) =>
              seal(bytes, number, isAnew ? OTHER_MESSAGE_ID + copies : 0),
            );
      sealed.set(conversation, { bytes: next, copies });
      return next;
    },
    open(bytes) {
      const answer = tryParse(bytes);
      const waiting = answer && awaited.get(answer.token.toString('hex'));
      if (answer === undefined || waiting === undefined || answer.code === EMPTY_CODE) return undefined;
      if (findOption(answer.options, OPTION.oscore) === undefined) {
        hint = `an answer without protection, which anyone can have sent, says ${describe(answer)}`;
        return undefined;
      }
      for (const binding of waiting.bindings) {
        const opened = unprotectResponse(key.context, binding, answer);
        if (!opened.ok) continue;
        const { type, token } = answer;
        const messageId = type === 'ACK' ? waiting.messageId : answer.messageId;
        return formatMessage({ type, token, messageId, ...opened.message });
      }
      hint = 'an answer came that the key does not open';
      return undefined;
    },
    get hint() {
      return hint;
    },
  };
}

const NOTHING = Buffer.alloc(0);
const DIGEST_DIGITS = 32;

const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex').slice(0, DIGEST_DIGITS);

const anotherCommand = () =>
  new SupersimError('bad-input', 'the identity is that of another command, or of other parameters or options', {
    remedy:
      'Make a request again with all that it was made with, also its deadline; or give it an identity of its own.',
  });

function describe({ code, payload }: { readonly code: string; readonly payload: Buffer }): string {
  const text = payload.toString().slice(0, MAX_HINT);
  return text === '' ? code : `${code} ${JSON.stringify(text)}`;
}

function tryParse(bytes: Buffer) {
  try {
    return parseMessage(bytes);
  } catch (error) {
    if (error instanceof MessageFormatError) return undefined;
    throw error;
  }
}
