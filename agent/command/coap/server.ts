import { formatMessage, MAX_DATAGRAM_BYTES, type Message, parseMessage } from '../../../shared/coap/message.js';
import { parametersOf } from '../../../shared/coap/parameters.js';
import type { Command, Reply } from '../../../shared/command.js';
import { messageOf } from '../../../shared/errors.js';
import type { Handler } from '../../handlers/handler.js';
import type { Datagram } from '../../transport/transport.js';
import type { LifeOptions } from '../exchange.js';
import type { JournalCommand, JournalEntry } from '../journal/entry.js';
import {
  createJournalHandle,
  endingOf,
  type JournalHandle,
  journalKey,
  outcomeAfterRestart,
  recall,
} from '../journal/handle.js';
import { codeOf, internalError, millisecondsSince, outcomeOf } from '../stats/command-log.js';
import { observe } from '../stats/meters.js';
import { type CoapPeer, createCoapEndpoint, type Respond, type ResponseParts } from './endpoint.js';
import { type CommandResult, createResources } from './resources.js';
import { MAX_BODY_BYTES } from './transfers.js';

/** A request is stored in one piece, in however many datagrams its body came. */
const MAX_STORED_BYTES = MAX_DATAGRAM_BYTES + MAX_BODY_BYTES;

export interface CoapServerOptions extends LifeOptions {
  /** Sends to where a datagram came from. */
  readonly reply: (bytes: Uint8Array, datagram: Datagram, kind: 'reply' | 'signal') => void;
}

/** A peer, and the datagram that came from it. */
interface Peer extends CoapPeer {
  readonly datagram: Datagram;
  /** What the journal has of it, when it was taken in before the agent was started. */
  readonly resumed?: JournalEntry | undefined;
}

/** The life of the commands in CoAP datagrams. */
export function createCoapServer(options: CoapServerOptions) {
  const { registry, authorize, launch, seen, journal, counters, meters, logCommand, log, maxBytes, reply } = options;
  const resources = createResources({ registry, authorize, launch, maxBytes });
  const endpoint = createCoapEndpoint<Peer>({
    seen,
    recall: (key) => recall(journal, key),
    dedupPolicyOf: resources.dedupPolicyOf,
    counters,
    handle,
  });

  function handle(request: Message, peer: Peer, key: string, { response, later }: Respond): void {
    let journalled: JournalHandle | undefined;
    const { resumed } = peer;
    // Also where nothing is found any more that could be run, the journal is told.
    if (resumed !== undefined && journal !== undefined)
      journalled = createJournalHandle(journal, resumed.command, true);

    function respond(given: ResponseParts, came?: CommandResult): void {
      const { parts, ended } =
        resumed && came ? resumedEnd(request, resumed, given, came) : { parts: given, ended: came };
      const entry = journalled;
      const milliseconds = millisecondsSince(peer.datagram.receivedAt);
      const sent = () => {
        if (ended === undefined) return;
        logEnded(request, peer, ended, milliseconds);
        if (resumed === undefined) observeReply(peer);
      };
      if (entry === undefined) {
        response(parts);
        sent();
      } else {
        const end = ended && { outcome: outcomeOf(ended.reply), code: codeOf(ended.reply) };
        response(parts, (bytes, then) =>
          entry.finish(endingOf(end ? [end] : [], bytes), () => {
            then();
            sent();
          }),
        );
      }
    }

    /** An entry that stayed as if its command ran would have its repeats wait for ever. */
    function fail(name: string | undefined, error: unknown): void {
      log.error({ name, peer: peer.name, error: messageOf(error) }, 'internal error');
      const reply = internalError(error);
      const parts = resources.responseTo(request, reply);
      try {
        respond(parts, { name, reply });
      } catch {
        // The journal cannot be told either.
        response(parts);
        logEnded(request, peer, { name, reply }, millisecondsSince(peer.datagram.receivedAt));
      }
    }

    try {
      resources.handle(request, peer.name, {
        respond,
        fail,
        later,
        resumed: resumed !== undefined,
        enter(command, handler, whole) {
          journalled ??= enter(command, handler, whole, peer, key);
          return journalled;
        },
      });
    } catch (error) {
      fail(undefined, error);
    }
  }

  function resumedEnd(request: Message, resumed: JournalEntry, parts: ResponseParts, ended: CommandResult) {
    const reply = outcomeAfterRestart(resumed, ended.reply);
    if (reply === ended.reply) return { parts, ended };
    return { parts: resources.responseTo(request, reply), ended: { ...ended, reply } };
  }

  function enter(
    { id, name, deadline }: Command,
    { idempotent, endsWith }: Handler,
    whole: Message,
    { datagram, name: peer }: Peer,
    key: string,
  ): JournalHandle | undefined {
    if (journal === undefined) return undefined;
    return createJournalHandle(journal, {
      key: journalKey(key),
      peer,
      id,
      name,
      format: 'coap',
      request: formatMessage(whole, MAX_STORED_BYTES),
      source: datagram.source,
      port: datagram.port,
      transport: datagram.transport,
      idempotent,
      endsWith,
      deadline: deadline === undefined ? null : deadline * 1000,
      lifetimeMs: parametersOf(peer).exchangeLifetime,
    });
  }

  function logEnded(
    { token }: Message,
    { name: peer, datagram: { transport } }: Peer,
    { name, reply }: CommandResult,
    milliseconds: number,
  ): void {
    logCommand({ peer, transport, format: 'coap' }, { id: token.toString('hex'), name, reply, milliseconds });
  }

  const observeReply = ({ datagram }: Peer) => observe(meters.replies, performance.now() - datagram.receivedAt);

  const peerOf = (name: string, datagram: Datagram, resumed?: JournalEntry): Peer => ({
    name,
    datagram,
    resumed,
    send: (bytes, kind) => reply(bytes, datagram, kind),
  });

  return {
    /** @throws MessageFormatError when it is no well-formed CoAP message */
    receive: (datagram: Datagram, peer: string): void => endpoint.receive(datagram.bytes, peerOf(peer, datagram)),
    /** Runs a command of the journal; its peer has been told, or will be, that the response comes later. */
    resume(entry: JournalEntry, datagram: Datagram): void {
      endpoint.resume(parseMessage(datagram.bytes), datagram.bytes, peerOf(entry.command.peer, datagram, entry));
    },
    /** The response that a repeat gets, when a command of the journal came to this. */
    encodeEnding(command: JournalCommand, ending: Reply): Buffer {
      const request = parseMessage(Buffer.from(command.request));
      return endpoint.reply(request, resources.responseTo(request, ending));
    },
    /** Tells the peer of a command of the journal what it came to. */
    report(command: JournalCommand, ending: Reply): void {
      const request = parseMessage(Buffer.from(command.request));
      const datagram = { ...command, bytes: Buffer.from(command.request), receivedAt: performance.now() };
      endpoint.sendSeparately(request, resources.responseTo(request, ending), peerOf(command.peer, datagram));
    },
    stop: endpoint.stop,
  };
}
