import type { CoapMessage } from '../../../shared/coap/message.js';
import { findOption, OPTION, uintOption } from '../../../shared/coap/options.js';
import type { Caller } from '../../security/authorize.js';
import type { OpenedRequest, ProtectedRefusal, Protection } from '../../security/protection.js';
import { createSecondLimit } from '../../security/second-limit.js';
import type { SequenceNumbers } from '../../security/sequence-numbers.js';
import type { DatagramKey, DedupPolicy } from '../dedup/entry.js';
import type { Found, Then } from '../journal/types.js';
import { GATEWAY_PEER } from '../peers/room.js';
import type { DenialCause } from '../stats/counters.js';
import type { Stats } from '../stats/stats.js';
import type { CoapPeer, ReceivedRequest, ResponseParts } from './received-request.js';

/** Most unprotected errors in a second: a flood of requests that are refused costs little, and is not answered. */
export const MAX_ERRORS_PER_SECOND = 16;

export interface ProtectedOptions {
  readonly protection: Pick<
    Protection,
    'open' | 'reopen' | 'accept' | 'admitChallenge' | 'withdrawChallenge' | 'challenge'
  >;
  readonly numbers: Pick<SequenceNumbers, 'wait'>;
  readonly stats: Pick<Stats, 'denied'>;
}

/** What the message layer does for a protected request as for any other. */
export interface MessageLayer<Peer extends CoapPeer> {
  find(key: DatagramKey, peer: string, then: Then): void;
  begin(received: ReceivedRequest<Peer>, policy: DedupPolicy, isLost: boolean): void;
  refuse(received: ReceivedRequest<Peer>, why: string): void;
  sendAtOnce(received: ReceivedRequest<Peer>, parts: ResponseParts, kind: 'reply' | 'signal'): Buffer | undefined;
  rememberAnswer(received: ReceivedRequest<Peer>, encoded: Uint8Array): void;
  isAnsweredByTable(received: ReceivedRequest<Peer>, policy: DedupPolicy): boolean;
  isAnsweredByJournal(received: ReceivedRequest<Peer>, found: Found | undefined): boolean;
  answerOrBegin(received: ReceivedRequest<Peer>, policy: DedupPolicy, found: Found | undefined): void;
  policyOf(received: ReceivedRequest<Peer>): DedupPolicy;
  /** Returns a peer as the caller that its protected request has shown it to be. */
  withCaller(peer: Peer, caller: Caller): Peer;
}

/** Tells whether a message has an OSCORE option (RFC 8613 §2). */
export const isProtected = ({ options }: Pick<CoapMessage, 'options'>): boolean =>
  findOption(options, OPTION.oscore) !== undefined;

/**
 * Receives protected requests (RFC 8613 §8.2). One that came before, byte by byte, and is still remembered is answered as
 * then; only what is not remembered must be fresh.
 */
export function createProtectedRequests<Peer extends CoapPeer>(
  { protection, numbers, stats }: ProtectedOptions,
  layer: MessageLayer<Peer>,
) {
  const mayTell = createSecondLimit(MAX_ERRORS_PER_SECOND);

  /** @param received not opened */
  function receive(received: ReceivedRequest<Peer>): void {
    if (layer.isAnsweredByTable(received, 'track')) return;
    const { request, peer, key } = received;
    const found = protection.open(request);
    if (found.kind === 'fresh') take(received, found.request);
    else if (found.kind === 'unknown') takeDoubtful(received, found.request);
    else if (found.reason !== 'replay') deny(received, found.reason);
    else layer.find(key, peer.name, (known) => answerAgain(received, known));
  }

  /** Handles a fresh request: it is accepted only when its response can be protected. */
  function take(received: ReceivedRequest<Peer>, opened: OpenedRequest): void {
    if (!opened.hold()) {
      numbers.wait(
        () => receive(received),
        () => count('numbers', received),
      );
      return;
    }
    const next = openedAs(received, opened);
    const policy = layer.policyOf(next);
    protection.accept(opened);
    if (policy === 'none') layer.begin(next, policy, false);
    else layer.find(received.key, received.peer.name, (found) => layer.answerOrBegin(next, policy, found));
  }

  /** Handles a request that is verified, and may be an old one. */
  function takeDoubtful(received: ReceivedRequest<Peer>, opened: OpenedRequest): void {
    if (!protection.admitChallenge(opened)) {
      count('stale', received);
      return;
    }
    const next = openedAs(received, opened);
    const policy = layer.policyOf(next);
    const answer = () => {
      if (!opened.hold()) giveUp();
      else if (policy === 'none') challenge(next, opened);
      else layer.find(next.key, next.peer.name, (found) => answerOrChallenge(next, opened, policy, found));
    };
    const giveUp = () => {
      protection.withdrawChallenge(opened);
      count('numbers', received);
    };
    numbers.wait(answer, giveUp);
  }

  function answerOrChallenge(
    next: ReceivedRequest<Peer>,
    opened: OpenedRequest,
    policy: DedupPolicy,
    found: Found | undefined,
  ): void {
    if (layer.isAnsweredByTable(next, policy) || layer.isAnsweredByJournal(next, found)) return;
    if (found?.kind === 'unknown') layer.refuse(next, found.error.message);
    // A sender that repeats it after a challenge would have it run, and it may have run before.
    else if (found?.kind === 'lost' && policy === 'track') layer.begin(next, policy, true);
    else challenge(next, opened);
  }

  /** Asks the sender to show that the request is not an old one (RFC 9175 §2.4, RFC 8613 Appendix B.1.2). */
  function challenge(next: ReceivedRequest<Peer>, opened: OpenedRequest): void {
    count('stale', next);
    const encoded = layer.sendAtOnce(next, protection.challenge(opened), 'signal');
    if (encoded !== undefined) layer.rememberAnswer(next, encoded);
  }

  /** Answers a request that was accepted before; a replay when it is not remembered any more. */
  function answerAgain(received: ReceivedRequest<Peer>, found: Found | undefined): void {
    if (layer.isAnsweredByTable(received, 'track')) return;
    if (found === undefined || found.kind === 'lost') {
      deny(received, 'replay');
      return;
    }
    const opened = protection.reopen(received.request);
    if (opened === undefined) return;
    const next = openedAs(received, opened);
    if (!layer.isAnsweredByJournal(next, found) && found.kind === 'unknown') layer.refuse(next, found.error.message);
  }

  /** Counts a request that is refused. Only direct peers are told: each message through the gateway is billed. */
  function deny(received: ReceivedRequest<Peer>, reason: ProtectedRefusal): void {
    count(reason, received);
    if (received.peer.name !== GATEWAY_PEER && mayTell()) {
      layer.sendAtOnce(received, unprotectedError(reason), 'signal');
    }
  }

  const count = (cause: DenialCause, { peer, key }: ReceivedRequest<Peer>): void =>
    stats.denied(cause, peer.address, key.bytes.length);

  // Member by member: a spread takes V8 microseconds.
  function openedAs({ request, peer, key }: ReceivedRequest<Peer>, opened: OpenedRequest): ReceivedRequest<Peer> {
    const { type, messageId, token } = request;
    const { code, options, payload } = opened.message;
    const inner: CoapMessage = { type, code, messageId, token, options, payload };
    return { request: inner, peer: layer.withCaller(peer, opened.caller), key, isProtected: true, opened };
  }

  return { receive };
}

/** RFC 8613 §8.2: the errors that are sent without protection, with Max-Age 0. */
function unprotectedError(reason: ProtectedRefusal): ResponseParts {
  const [code, text] = ERRORS[reason];
  return { code, options: [uintOption(OPTION.maxAge, 0)], payload: Buffer.from(text) };
}

const UNDECODABLE = ['4.02', 'Failed to decode COSE'] as const;
const ERRORS = {
  malformed: UNDECODABLE,
  'outer-block': UNDECODABLE,
  'unknown-kid': ['4.01', 'Security context not found'],
  replay: ['4.01', 'Replay detected'],
  'bad-tag': ['4.00', 'Decryption failed'],
  'malformed-plaintext': ['4.00', 'Decryption failed'],
} as const satisfies Record<ProtectedRefusal, readonly [string, string]>;
