import { EMPTY_CODE, emptyMessage, formatMessage, type Message, parseMessage } from '../../../shared/coap/message.js';
import { OPTION, uintOption, usableOptions } from '../../../shared/coap/options.js';
import { type Parameters, PIGGYBACK_WAIT_MS, parametersOf } from '../../../shared/coap/parameters.js';
import { datagramKey, type Seen, type SeenCommands } from '../seen.js';

/** Most separate responses whose acknowledgement is awaited at once; further ones go non-confirmable. */
const MAX_UNACKNOWLEDGED = 64;

/** Who a message came from, and how an answer gets there. */
export interface CoapPeer {
  /** `gateway` for everything from the carrier, else `address:port`. */
  readonly name: string;
  /** Name of the transport. */
  readonly transport: string;
  /** When its message came, in monotonic milliseconds. */
  readonly receivedAt: number;
  send(bytes: Uint8Array): void;
}

/** What the endpoint makes a response of: everything of a message but its type, message ID and token. */
export type ResponseParts = Pick<Message, 'code' | 'options' | 'payload'>;

export interface EndpointOptions {
  readonly seen: SeenCommands;
  /** Handles a request; calls `respond` once, at any time. */
  readonly handle: (request: Message, peer: CoapPeer, respond: (parts: ResponseParts) => void) => void;
  /** Whether a request may be forgotten early, as handling it twice does no harm. */
  readonly isDisposable: (request: Message) => boolean;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** The response when there is no room to remember the request (RFC 7252 §5.9.3.4). */
const BUSY: ResponseParts = {
  code: '5.03',
  options: [uintOption(OPTION.maxAge, 5)],
  payload: Buffer.from('busy: too many commands are remembered'),
};

/** A separate response on its way to a direct peer. */
interface Unacknowledged {
  readonly timer: NodeJS.Timeout;
}

/**
 * The message layer of a CoAP server (RFC 7252 §4 and §5.2): repeated requests are answered as the first was,
 * responses go piggybacked, separately or non-confirmably, pings are reset.
 */
export function createCoapEndpoint(options: EndpointOptions) {
  const { seen, handle, isDisposable, now = () => performance.now(), random = Math.random } = options;
  const unacknowledged = new Map<string, Unacknowledged>();
  let nextMessageId = Math.floor(random() * 0x10000);

  const takeMessageId = () => {
    nextMessageId = (nextMessageId + 1) & 0xffff;
    return nextMessageId;
  };

  /** @throws Error when the datagram is no well-formed CoAP message */
  function receive(bytes: Buffer, peer: CoapPeer): void {
    const message = parseMessage(bytes);
    if (message.type === 'ACK' || message.type === 'RST') settle(peer, message.messageId);
    else if (message.code === EMPTY_CODE ? message.type === 'CON' : isRejected(message)) {
      peer.send(formatMessage(emptyMessage('RST', message.messageId)));
    } else if (message.code !== EMPTY_CODE) takeRequest(message, bytes, peer);
  }

  /** RFC 7252 §5.4.1: a critical option that is not understood is answered in a confirmable request only. */
  const isRejected = ({ type, options }: Message) => type === 'NON' && usableOptions(options).critical !== undefined;

  function takeRequest(request: Message, bytes: Buffer, peer: CoapPeer): void {
    const parameters = parametersOf(peer.name);
    const key = datagramKey(peer.name, bytes);
    const known = seen.find(key, now());
    if (known !== undefined) {
      if (known.reply !== undefined) peer.send(known.reply);
      else if (known.running && request.type === 'CON') accept(known, request, peer);
      return;
    }
    const lifetime = request.type === 'CON' ? parameters.exchangeLifetime : parameters.nonLifetime;
    const entry = seen.begin(key, isDisposable(request), now() + lifetime, now());
    if (entry === undefined) {
      peer.send(formatMessage(piggybacked(request, BUSY)));
      return;
    }
    answer(entry, request, peer, parameters);
  }

  /** Has the request handled, and sends its response the way that fits the request and the peer. */
  function answer(entry: Seen, request: Message, peer: CoapPeer, parameters: Parameters): void {
    let timer: NodeJS.Timeout | undefined;
    handle(request, peer, (parts) => {
      clearTimeout(timer);
      // A repeat gets its response in the acknowledgement, however the first went.
      const reply = formatMessage(piggybacked(request, parts));
      seen.finish(entry, reply, now());
      if (!entry.accepted) peer.send(reply);
      else if (peer.name === 'gateway') peer.send(formatMessage(separate(request, parts, 'NON')));
      else sendSeparately(request, parts, peer, parameters);
    });
    // Each message through the gateway costs an API call: nothing is sent there before there is something to say.
    if (!entry.running || request.type !== 'CON' || peer.name === 'gateway') return;
    timer = setTimeout(() => {
      if (!entry.accepted) accept(entry, request, peer);
    }, PIGGYBACK_WAIT_MS);
  }

  /** An empty acknowledgement: the response comes later (RFC 7252 §5.2.2). */
  function accept(entry: Seen, request: Message, peer: CoapPeer): void {
    entry.accepted = true;
    peer.send(formatMessage(emptyMessage('ACK', request.messageId)));
  }

  const piggybacked = (request: Message, parts: ResponseParts): Message =>
    request.type === 'CON'
      ? { ...parts, type: 'ACK', messageId: request.messageId, token: request.token }
      : separate(request, parts, 'NON');

  const separate = (request: Message, parts: ResponseParts, type: 'CON' | 'NON'): Message => ({
    ...parts,
    type,
    messageId: takeMessageId(),
    token: request.token,
  });

  function sendSeparately(request: Message, parts: ResponseParts, peer: CoapPeer, parameters: Parameters): void {
    if (unacknowledged.size >= MAX_UNACKNOWLEDGED) {
      peer.send(formatMessage(separate(request, parts, 'NON')));
      return;
    }
    const message = separate(request, parts, 'CON');
    const bytes = formatMessage(message);
    const key = `${peer.name} ${message.messageId}`;
    const first = parameters.ackTimeout * (1 + random() * (parameters.ackRandomFactor - 1));
    transmit(first, 0);

    /** RFC 7252 §4.2: again after twice the time, until acknowledged or often enough. */
    function transmit(wait: number, retransmissions: number): void {
      peer.send(bytes);
      const last = retransmissions >= parameters.maxRetransmit;
      const timer = setTimeout(
        () => (last ? unacknowledged.delete(key) : transmit(wait * 2, retransmissions + 1)),
        wait,
      );
      unacknowledged.set(key, { timer });
    }
  }

  /** An acknowledgement or a reset: either way the peer has what was sent, and wants no more of it. */
  function settle(peer: CoapPeer, messageId: number): void {
    const key = `${peer.name} ${messageId}`;
    clearTimeout(unacknowledged.get(key)?.timer);
    unacknowledged.delete(key);
  }

  return {
    receive,
    stop() {
      for (const { timer } of unacknowledged.values()) clearTimeout(timer);
      unacknowledged.clear();
    },
  };
}
