import {
  EMPTY_CODE,
  emptyMessage,
  formatMessage,
  type Message,
  type MessageType,
  parseMessage,
} from '../../../shared/coap/message.js';
import { OPTION, uintOption, usableOptions } from '../../../shared/coap/options.js';
import { PIGGYBACK_WAIT_MS, parametersOf } from '../../../shared/coap/parameters.js';
import { BUSY_MAX_AGE_S } from '../../../shared/coap/response.js';
import { SupersimError } from '../../../shared/errors.js';
import { type DuplicateTable, datagramKey, type Seen } from '../dedup/duplicate-table.js';
import type { DedupPolicy, Known } from '../journal/handle.js';
import type { Counters } from '../stats/counters.js';

/** Most separate responses whose acknowledgement is awaited at once; further ones go non-confirmable. */
const MAX_UNACKNOWLEDGED = 64;

/** Who a message came from, and how an answer gets there. */
export interface CoapPeer {
  /** `gateway` for everything from the carrier, else `address:port`. */
  readonly name: string;
  /** A `signal` is worth nothing later: it waits for no link. */
  send(bytes: Uint8Array, kind: 'reply' | 'signal'): void;
}

/** What the endpoint makes a response of: everything of a message but its type, message ID and token. */
export type ResponseParts = Pick<Message, 'code' | 'options' | 'payload'>;

/** What a request's handling tells of it. */
export interface Respond {
  /** Called at any time; only the first that is safe is sent. `save` keeps the response that a repeat gets, and calls `then` when it is safe. */
  response(parts: ResponseParts, save?: (reply: Uint8Array, then: () => void) => void): void;
  /** The response comes later, and perhaps after the agent has ended. */
  later(): void;
}

export interface EndpointOptions<Peer extends CoapPeer> {
  readonly seen: DuplicateTable;
  /** What is known of a request that is not in `seen`; a `busy` error when that cannot be found out. */
  readonly recall: (key: string) => Known | SupersimError | undefined;
  readonly handle: (request: Message, peer: Peer, key: string, respond: Respond) => void;
  readonly dedupPolicyOf: (request: Message) => DedupPolicy;
  readonly counters: Pick<Counters, 'repeats'>;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** The response when the request cannot be remembered (RFC 7252 §5.9.3.4). */
const busy = (why: string): ResponseParts => ({
  code: '5.03',
  options: [uintOption(OPTION.maxAge, BUSY_MAX_AGE_S)],
  payload: Buffer.from(`busy: ${why}`),
});

/** A separate response on its way to a direct peer. */
interface Unacknowledged {
  readonly timer: NodeJS.Timeout;
}

/**
 * The message layer of a CoAP server (RFC 7252 §4 and §5.2): repeated requests are answered as the first was,
 * responses go piggybacked, separately or non-confirmably, pings are reset.
 */
export function createCoapEndpoint<Peer extends CoapPeer>(options: EndpointOptions<Peer>) {
  const {
    seen,
    recall,
    handle,
    dedupPolicyOf,
    counters,
    now = () => performance.now(),
    random = Math.random,
  } = options;
  const unacknowledged = new Map<string, Unacknowledged>();
  let nextMessageId = Math.floor(random() * 0x10000);

  const takeMessageId = () => {
    nextMessageId = (nextMessageId + 1) & 0xffff;
    return nextMessageId;
  };

  function receive(bytes: Buffer, peer: Peer): void {
    const message = parseMessage(bytes);
    if (message.type === 'ACK' || message.type === 'RST') settle(peer, message.messageId);
    else if (message.code === EMPTY_CODE ? message.type === 'CON' : isRejected(message)) {
      peer.send(formatMessage(emptyMessage('RST', message.messageId)), 'signal');
    } else if (message.code !== EMPTY_CODE) takeRequest(message, bytes, peer);
  }

  /** RFC 7252 §5.4.1: a critical option that is not understood is answered in a confirmable request only. */
  const isRejected = ({ type, options }: Message) => type === 'NON' && usableOptions(options).critical !== undefined;

  function takeRequest(request: Message, bytes: Buffer, peer: Peer): void {
    const key = datagramKey(peer.name, bytes);
    const at = now();
    const here = seen.find(key, at);
    if (here !== undefined) {
      if (answerRepeat(here, request, peer)) here.accepted = true;
      return;
    }
    const care = dedupPolicyOf(request);
    const known = care === 'none' ? undefined : recall(key);
    if (known instanceof SupersimError) refuse(request, peer, known.message);
    else if (known !== undefined) answerRepeat(known, request, peer);
    else begin(request, peer, key, care, at);
  }

  /** @returns whether its sender was told that the response comes later */
  function answerRepeat({ reply, running }: Known, request: Message, peer: Peer): boolean {
    counters.repeats++;
    if (reply !== undefined) peer.send(reply, 'reply');
    else if (running && request.type === 'CON') {
      acknowledge(request, peer);
      return true;
    }
    return false;
  }

  function begin(request: Message, peer: Peer, key: string, care: DedupPolicy, at: number): void {
    const { exchangeLifetime, nonLifetime } = parametersOf(peer.name);
    const lifetime = request.type === 'CON' ? exchangeLifetime : nonLifetime;
    const entry = seen.begin(key, care !== 'track', lifetime, at);
    if (entry === undefined) refuse(request, peer, 'too many commands are remembered');
    else answer(entry, request, peer, key);
  }

  function refuse(request: Message, peer: Peer, why: string): void {
    peer.send(formatMessage(piggybacked(request, busy(why))), 'signal');
  }

  /** Has the request handled, and sends its response the way that fits the request and the peer. */
  function answer(entry: Seen, request: Message, peer: Peer, key: string): void {
    let timer: NodeJS.Timeout | undefined;
    const response = (parts: ResponseParts, save = atOnce) => {
      clearTimeout(timer);
      // A repeat gets its response in the acknowledgement, however the first went.
      const reply = formatMessage(piggybacked(request, parts));
      save(reply, () => {
        if (!entry.running) return;
        seen.finish(entry, reply, now());
        if (entry.accepted) sendSeparately(request, parts, peer);
        else peer.send(reply, 'reply');
      });
    };
    const later = () => {
      if (entry.accepted || request.type !== 'CON') return;
      entry.accepted = true;
      acknowledge(request, peer);
    };
    handle(request, peer, key, { response, later });
    // Each message through the gateway costs an API call: nothing is sent there before there is something to say.
    if (entry.running && !entry.accepted && request.type === 'CON' && peer.name !== 'gateway') {
      timer = setTimeout(later, PIGGYBACK_WAIT_MS);
    }
  }

  /** An empty acknowledgement: the response comes later (RFC 7252 §5.2.2). */
  function acknowledge(request: Message, peer: Peer): void {
    peer.send(formatMessage(emptyMessage('ACK', request.messageId)), 'signal');
  }

  const piggybacked = (request: Message, parts: ResponseParts): Message =>
    request.type === 'CON' ? responseTo(request, parts, 'ACK', request.messageId) : separate(request, parts, 'NON');

  const separate = (request: Message, parts: ResponseParts, type: 'CON' | 'NON'): Message =>
    responseTo(request, parts, type, takeMessageId());

  function sendSeparately(request: Message, parts: ResponseParts, peer: Peer): void {
    if (peer.name === 'gateway' || request.type === 'NON' || unacknowledged.size >= MAX_UNACKNOWLEDGED) {
      peer.send(formatMessage(separate(request, parts, 'NON')), 'reply');
    } else sendConfirmably(separate(request, parts, 'CON'), peer);
  }

  function sendConfirmably(message: Message, peer: Peer): void {
    const { ackTimeout, ackRandomFactor, maxRetransmit } = parametersOf(peer.name);
    const bytes = formatMessage(message);
    const key = `${peer.name} ${message.messageId}`;
    transmit(ackTimeout * (1 + random() * (ackRandomFactor - 1)), 0);

    /** RFC 7252 §4.2: again after twice the time, until acknowledged or often enough. */
    function transmit(wait: number, retransmissions: number): void {
      peer.send(bytes, 'signal');
      const last = retransmissions >= maxRetransmit;
      const timer = setTimeout(
        () => (last ? unacknowledged.delete(key) : transmit(wait * 2, retransmissions + 1)),
        wait,
      );
      unacknowledged.set(key, { timer });
    }
  }

  /** An acknowledgement or a reset: either way the peer has what was sent, and wants no more of it. */
  function settle(peer: Peer, messageId: number): void {
    const key = `${peer.name} ${messageId}`;
    clearTimeout(unacknowledged.get(key)?.timer);
    unacknowledged.delete(key);
  }

  return {
    /** @throws MessageFormatError when the datagram is no well-formed CoAP message */
    receive,
    /** Handles a request that was taken in before the agent was started, and told that its response comes later. */
    resume(request: Message, bytes: Buffer, peer: Peer): void {
      const key = datagramKey(peer.name, bytes);
      const entry = seen.begin(key, false, parametersOf(peer.name).exchangeLifetime, now());
      if (entry === undefined) throw new Error('too many commands are remembered');
      entry.accepted = true;
      answer(entry, request, peer, key);
    },
    /** The response as a repeat of the request gets it. */
    reply: (request: Message, parts: ResponseParts): Buffer => formatMessage(piggybacked(request, parts)),
    sendSeparately,
    stop() {
      for (const { timer } of unacknowledged.values()) clearTimeout(timer);
      unacknowledged.clear();
    },
  };
}

/** Member by member: the spread of an object with others added takes V8 a microsecond and more. */
const responseTo = (
  { token }: Message,
  { code, options, payload }: ResponseParts,
  type: MessageType,
  messageId: number,
): Message => ({ type, code, messageId, token, options, payload });

const atOnce = (_reply: Uint8Array, then: () => void) => then();
