import { randomInt } from 'node:crypto';
import { isBlockOption } from '../../../shared/coap/block.js';
import {
  type CoapMessage,
  EMPTY_CODE,
  emptyMessage,
  formatMessage,
  type MessageType,
} from '../../../shared/coap/message.js';
import { OPTION, stringOption, uintOption, usableOptions } from '../../../shared/coap/options.js';
import { PIGGYBACK_WAIT_MS, parametersOf } from '../../../shared/coap/parameters.js';
import { BUSY_MAX_AGE_S } from '../../../shared/coap/response.js';
import type { Caller } from '../../security/authorize.js';
import type { OpenedRequest } from '../../security/protection.js';
import type { DuplicateTable } from '../dedup/duplicate-table.js';
import {
  beginRequest,
  type DatagramKey,
  type DedupPolicy,
  datagramKey,
  runningSince,
  type SeenReply,
  type SeenRequest,
  textOf,
} from '../dedup/entry.js';
import { seenReplyOf } from '../journal/handle.js';
import type { Found, Then } from '../journal/types.js';
import type { Stats } from '../stats/stats.js';
import { createProtectedRequests, isProtected, type ProtectedOptions } from './protected-requests.js';
import type { CoapPeer, ReceivedRequest, ResponseParts } from './received-request.js';

/** Most separate responses that await an acknowledgement; further ones are sent non-confirmable. */
const MAX_UNACKNOWLEDGED = 64;
/**
 * Most wrong acknowledgements from an address that is to be proven by one: who forges it would have to guess the message
 * ID with so many.
 */
const MAX_WRONG = 3;
/**
 * A confirmable request that comes so late again is its last copy (RFC 7252 §4.2: the one before comes within 21 s, the last
 * after 30 to 45), in milliseconds. Its sender then gives up, unless it is acknowledged.
 */
const LAST_COPY_MS = 25_000;

/** A request that is to be handled, and how its response is sent. */
export interface CoapExchange<Peer extends CoapPeer> extends ReceivedRequest<Peer> {
  readonly policy: DedupPolicy;
  /** Its entry in the duplicate table; it is finished with the bytes that `encode` returned. */
  readonly seen: SeenRequest;
  /** Whether the journal may have known it, and was lost. */
  readonly isLost: boolean;
  /** Returns the response as a repeat of the request gets it; undefined where it cannot be protected. */
  readonly encode: (parts: ResponseParts) => Buffer | undefined;
  /** Sends the response that was encoded last, once: separately where the request has been acknowledged. */
  readonly send: (encoded: Uint8Array) => void;
  /** Tells the peer that the response comes later, perhaps after a restart of the agent (RFC 7252 §5.2.2). */
  readonly acknowledge: () => void;
}

export interface EndpointOptions<Peer extends CoapPeer> extends ProtectedOptions {
  readonly stats: Pick<Stats, 'repeated' | 'denied'>;
  readonly duplicates: DuplicateTable;
  /** Calls `then` with what the journal knows of a request that the table does not have: at once, or later. */
  readonly find: (key: DatagramKey, peer: string, then: Then) => void;
  /** Returns the response to a repeat of a request whose own response is not kept any more. */
  readonly forgotten: (request: CoapMessage, found: Found & { kind: 'forgotten' }) => ResponseParts;
  readonly handle: (exchange: CoapExchange<Peer>) => void;
  readonly dedupPolicyOf: (request: CoapMessage, caller: Caller) => DedupPolicy;
  /** Returns a peer as another caller. */
  readonly withCaller: (peer: Peer, caller: Caller) => Peer;
  /** Tells whether a peer has not shown yet that it receives at its address. */
  readonly isUnproven: (peer: Peer) => boolean;
  /** Called when it has acknowledged a message whose ID nobody else can know. */
  readonly prove: (peer: Peer) => void;
  /** Returns a response to be sent again as it may be sent now: its peer may not be proven any more. */
  readonly shorten: (request: CoapMessage, reply: Uint8Array, peer: Peer) => Uint8Array;
  readonly now?: () => number;
  readonly random?: () => number;
  /** Returns a message ID that cannot be guessed. */
  readonly secretId?: () => number;
}

/** Returns the response to a request that cannot be tracked (RFC 7252 §5.9.3.4), nor can that be recorded. */
const busy = (why: string): ResponseParts => ({
  code: '5.03',
  options: [uintOption(OPTION.maxAge, BUSY_MAX_AGE_S), stringOption(OPTION.unrecorded, '')],
  payload: Buffer.from(`busy: ${why}`),
});

const isBlockwise = ({ options }: Pick<CoapMessage, 'options'>): boolean => options.some(isBlockOption);

/** A separate response on its way to a direct peer. */
interface Unacknowledged {
  readonly timer: NodeJS.Timeout;
  readonly trial: Trial | undefined;
}

/** The wait for an acknowledgement that proves an address. */
interface Trial {
  wrong: number;
}

/**
 * The message layer of a CoAP server (RFC 7252 §4 and §5.2): repeated requests are answered as the first was,
 * responses go piggybacked, separately or non-confirmably, pings are reset.
 */
export function createCoapEndpoint<Peer extends CoapPeer>(options: EndpointOptions<Peer>) {
  const { duplicates, find, forgotten, handle, dedupPolicyOf, stats } = options;
  const { now = () => performance.now(), random = Math.random, secretId = () => randomInt(0x10000) } = options;
  const { isUnproven, prove, shorten } = options;
  const unacknowledged = new Map<string, Unacknowledged>();
  /** By address: as several guesses at once would be likelier to succeed, there is one at a time. */
  const trials = new Map<string, Trial>();
  let nextMessageId = Math.floor(random() * 0x10000);

  const protectedRequests = createProtectedRequests<Peer>(options, {
    find,
    begin,
    refuse,
    sendAtOnce,
    rememberAnswer,
    isAnsweredByTable,
    isAnsweredByJournal,
    answerOrBegin,
    policyOf: ({ request, peer }) => dedupPolicyOf(request, peer.caller),
    withCaller: options.withCaller,
  });

  const takeMessageId = () => {
    nextMessageId = (nextMessageId + 1) & 0xffff;
    return nextMessageId;
  };

  function receive(message: CoapMessage, bytes: Buffer, peer: Peer): void {
    if (message.type === 'ACK' || message.type === 'RST') endRetransmission(peer, message);
    else if (message.code !== EMPTY_CODE && isProtected(message)) {
      const key = datagramKey(peer.name, bytes);
      protectedRequests.receive({ request: message, peer, key, isProtected: true, opened: undefined });
    } else if (message.code === EMPTY_CODE ? message.type === 'CON' : isRejected(message)) {
      peer.send(formatMessage(emptyMessage('RST', message.messageId)), 'signal');
    } else if (message.code !== EMPTY_CODE) receivePlain(message, bytes, peer);
  }

  /** RFC 7252 §5.4.1: a critical option that is not understood is answered in a confirmable request only. */
  const isRejected = ({ type, options }: CoapMessage) =>
    type === 'NON' && usableOptions(options).critical !== undefined;

  function receivePlain(request: CoapMessage, bytes: Buffer, peer: Peer): void {
    const received = { request, peer, key: datagramKey(peer.name, bytes), isProtected: false, opened: undefined };
    const policy = dedupPolicyOf(request, peer.caller);
    if (isAnsweredByTable(received, policy)) return;
    if (policy === 'none') begin(received, policy, false);
    else find(received.key, peer.name, (found) => answerOrBegin(received, policy, found));
  }

  function isAnsweredByTable(received: ReceivedRequest<Peer>, policy: DedupPolicy): boolean {
    const { key, peer } = received;
    const seen = policy === 'none' ? duplicates.findRepeatable(key, now()) : duplicates.find(textOf(key), now());
    if (seen === undefined) return false;
    if (waitsForResponse(seen, peer)) stats.repeated();
    else if (answerRepeat(seen, received)) seen.accepted = true;
    return true;
  }

  function answerOrBegin(received: ReceivedRequest<Peer>, policy: DedupPolicy, found?: Found): void {
    // While the disk was read it may have come again, and been begun.
    if (isAnsweredByTable(received, policy) || isAnsweredByJournal(received, found)) return;
    if (found?.kind === 'unknown') refuse(received, found.error.message);
    else begin(received, policy, found?.kind === 'lost' && policy === 'track');
  }

  /** Answers a repeat of what the journal knows. */
  function isAnsweredByJournal(received: ReceivedRequest<Peer>, found: Found | undefined): boolean {
    const known = found && seenReplyOf(found);
    if (known !== undefined) answerRepeat(known, received);
    else if (found?.kind === 'forgotten') {
      stats.repeated();
      sendAtOnce(received, forgotten(received.request, found), 'reply');
    } else return false;
    return true;
  }

  /**
   * Without an acknowledgement the response can be piggybacked whenever it is there: it needs no retransmission, may carry
   * Echo (RFC 9175 §2.4), and clients follow its blocks, which not all do after an acknowledgement.
   */
  const waitsForResponse = (seen: SeenRequest, peer: Peer): boolean =>
    seen.running && !seen.accepted && isUnproven(peer) && now() - runningSince(seen) < LAST_COPY_MS;

  /** @returns whether the sender was told that the response comes later */
  function answerRepeat({ reply, running }: SeenReply, received: ReceivedRequest<Peer>): boolean {
    const { request, peer } = received;
    stats.repeated();
    // A protected response has one ciphertext, which cannot be shortened.
    if (reply !== undefined) peer.send(received.isProtected ? reply : shorten(request, reply, peer), 'reply');
    else if (running && request.type === 'CON') {
      sendEmptyAck(request, peer);
      return true;
    }
    return false;
  }

  const lifetimeOf = ({ request, peer }: ReceivedRequest<Peer>): number => {
    const { exchangeLifetime, nonLifetime } = parametersOf(peer.name);
    return request.type === 'CON' ? exchangeLifetime : nonLifetime;
  };

  function begin(received: ReceivedRequest<Peer>, policy: DedupPolicy, isLost: boolean): void {
    const { key } = received;
    // A protected request that is not remembered would be refused as a replay when it comes again.
    const isRepeatable = policy === 'none' && !received.isProtected;
    const lifetime = lifetimeOf(received);
    const seen = isRepeatable ? beginRequest(lifetime, now()) : duplicates.begin(textOf(key), lifetime, now());
    answer(seen, received, policy, isLost);
    if (isRepeatable && seen.running) duplicates.addRepeatable(seen, key);
  }

  /** Answers a request that cannot be tracked. */
  function refuse(received: ReceivedRequest<Peer>, why: string): void {
    const encoded = sendAtOnce(received, busy(why), 'signal');
    if (encoded !== undefined && received.isProtected) rememberAnswer(received, encoded);
  }

  /** Answers when the request comes again, too. */
  function rememberAnswer(received: ReceivedRequest<Peer>, encoded: Uint8Array): void {
    duplicates.finish(duplicates.begin(textOf(received.key), lifetimeOf(received), now()), encoded, now());
  }

  /** Sends a response to a request that is not handled. @returns its bytes */
  function sendAtOnce(
    { request, peer, opened }: ReceivedRequest<Peer>,
    parts: ResponseParts,
    kind: 'reply' | 'signal',
  ): Buffer | undefined {
    const sealed = opened === undefined ? parts : opened.protect(parts);
    const encoded = sealed && formatMessage(piggybacked(request, sealed));
    if (encoded !== undefined) peer.send(encoded, kind);
    return encoded;
  }

  /** Has the request handled; acknowledges it when the response takes long. */
  function answer(seen: SeenRequest, received: ReceivedRequest<Peer>, policy: DedupPolicy, isLost: boolean): void {
    const { request, peer, key, opened } = received;
    let timer: NodeJS.Timeout | undefined;
    let last: ResponseParts | undefined;
    const acknowledge = () => {
      if (seen.accepted || request.type !== 'CON') return;
      seen.accepted = true;
      sendEmptyAck(request, peer);
    };
    const send = (encoded: Uint8Array) => {
      clearTimeout(timer);
      if (seen.accepted && last !== undefined) sendSeparately(request, last, peer);
      else peer.send(encoded, 'reply');
    };
    // A repeat gets its response piggybacked, also when the first was sent separately.
    const encode = (parts: ResponseParts) => {
      // RFC 7252 §4.5 leaves out what may run twice; but a repeat would change the transfer that this begins, or not find it.
      if (policy === 'none' && !received.isProtected && (isBlockwise(request) || isBlockwise(parts))) {
        duplicates.addEnding(seen, key, now());
      }
      last = opened === undefined ? parts : opened.protect(parts);
      return last && formatMessage(piggybacked(request, last));
    };
    const { isProtected: wasProtected } = received;
    // Member by member: a spread takes V8 microseconds.
    handle({ request, peer, key, isProtected: wasProtected, opened, policy, seen, isLost, encode, send, acknowledge });
    // Each message through the gateway costs an API call: no empty acknowledgement goes there.
    const isTold = peer.name !== 'gateway' && !isUnproven(peer);
    if (seen.running && !seen.accepted && request.type === 'CON' && isTold) {
      timer = setTimeout(acknowledge, PIGGYBACK_WAIT_MS);
    }
  }

  function sendEmptyAck(request: CoapMessage, peer: Peer): void {
    peer.send(formatMessage(emptyMessage('ACK', request.messageId)), 'signal');
  }

  const piggybacked = (request: CoapMessage, parts: ResponseParts): CoapMessage =>
    request.type === 'CON' ? responseTo(request, parts, 'ACK', request.messageId) : separate(request, parts, 'NON');

  const separate = (request: CoapMessage, parts: ResponseParts, type: 'CON' | 'NON', id = takeMessageId()) =>
    responseTo(request, parts, type, id);

  function sendSeparately(request: CoapMessage, parts: ResponseParts, peer: Peer): void {
    const isFull = unacknowledged.size >= MAX_UNACKNOWLEDGED || trials.has(peer.address);
    if (peer.name === 'gateway' || request.type === 'NON' || isFull) {
      peer.send(formatMessage(separate(request, parts, 'NON')), 'reply');
    } else if (isUnproven(peer)) {
      const trial = { wrong: 0 };
      trials.set(peer.address, trial);
      sendConfirmably(separate(request, parts, 'CON', secretId()), peer, trial);
    } else sendConfirmably(separate(request, parts, 'CON'), peer);
  }

  function sendConfirmably(message: CoapMessage, peer: Peer, trial?: Trial): void {
    const { ackTimeout, ackRandomFactor, maxRetransmit } = parametersOf(peer.name);
    const bytes = formatMessage(message);
    const key = `${peer.name} ${message.messageId}`;
    transmit(ackTimeout * (1 + random() * (ackRandomFactor - 1)), 0);

    /** RFC 7252 §4.2: retransmits with exponential back-off until acknowledged, or MAX_RETRANSMIT times. */
    function transmit(wait: number, retransmissions: number): void {
      peer.send(bytes, 'signal');
      const last = retransmissions >= maxRetransmit;
      const timer = setTimeout(() => (last ? forget(key, peer) : transmit(wait * 2, retransmissions + 1)), wait);
      unacknowledged.set(key, { timer, trial });
    }
  }

  /**
   * After an acknowledgement or a reset nothing is sent again. A reset proves nothing: a host answers so what it did not ask
   * for.
   */
  function endRetransmission(peer: Peer, { type, messageId }: CoapMessage): void {
    const key = `${peer.name} ${messageId}`;
    const ended = unacknowledged.get(key);
    if (ended === undefined) {
      const trial = trials.get(peer.address);
      if (trial !== undefined) trial.wrong++;
      return;
    }
    forget(key, peer);
    if (type === 'ACK' && ended.trial !== undefined && ended.trial.wrong < MAX_WRONG) prove(peer);
  }

  function forget(key: string, peer: Peer): void {
    const ended = unacknowledged.get(key);
    clearTimeout(ended?.timer);
    unacknowledged.delete(key);
    if (ended?.trial !== undefined) trials.delete(peer.address);
  }

  return {
    /** @param bytes the message as it was received */
    receive,
    /** Handles a request that an earlier run of the agent accepted and acknowledged. */
    resume(request: CoapMessage, bytes: Buffer, peer: Peer, opened: OpenedRequest | undefined): void {
      const key = datagramKey(peer.name, bytes);
      const seen = duplicates.begin(textOf(key), parametersOf(peer.name).exchangeLifetime, now());
      seen.accepted = true;
      answer(seen, { request, peer, key, isProtected: opened !== undefined, opened }, 'track', false);
    },
    /** Returns the response as a repeat of the request gets it. */
    encode: (request: CoapMessage, parts: ResponseParts): Buffer => formatMessage(piggybacked(request, parts)),
    sendSeparately,
    stop() {
      for (const { timer } of unacknowledged.values()) clearTimeout(timer);
      unacknowledged.clear();
      trials.clear();
    },
  };
}

/** Member by member: the spread of an object with others added takes V8 a microsecond and more. */
const responseTo = (
  { token }: CoapMessage,
  { code, options, payload }: ResponseParts,
  type: MessageType,
  messageId: number,
): CoapMessage => ({ type, code, messageId, token, options, payload });
