import { type CoapMessage, parseMessage } from '../../../shared/coap/message.js';
import { findOption, OPTION } from '../../../shared/coap/options.js';
import type { Reply } from '../../../shared/command.js';
import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import type { Registry } from '../../handlers/registry.js';
import type { Datagram } from '../../transport/transport.js';
import type { Authorize } from '../authorize.js';
import type { DuplicateTable } from '../dedup/duplicate-table.js';
import type { JournalCommand, JournalEntry } from '../journal/entry.js';
import { replyOfForgotten } from '../journal/handle.js';
import type { Lives, ReadyCommand } from '../life.js';
import type { Proofs } from '../peers/proofs.js';
import type { Room } from '../peers/room.js';
import { type CommandResult, internalError } from '../runner/result.js';
import type { Stats } from '../stats/stats.js';
import { type CoapExchange, type CoapPeer, createCoapEndpoint, type ResponseParts } from './endpoint.js';
import { createResources, idOf, type NamedReply } from './resources.js';
import type { ResponseLimit } from './response-parts.js';

/** An empty acknowledgement, which may be sent before the response. */
const ACK_BYTES = 4;

export interface CoapServerOptions {
  readonly registry: Registry;
  readonly authorize: Authorize;
  readonly lives: Lives;
  readonly duplicates: DuplicateTable;
  readonly stats: Pick<Stats, 'repeated' | 'transferDropped'>;
  readonly log: Log;
  /** Returns the size of the longest datagram that can leave now. */
  readonly maxBytes: () => number;
  readonly room: Room;
  readonly proofs: Proofs;
  /** Sends to where a datagram came from. */
  readonly reply: (bytes: Uint8Array, datagram: Datagram, peer: string, kind: 'reply' | 'signal') => void;
}

/** A peer, and the datagram that came from it. */
interface Peer extends CoapPeer {
  readonly datagram: Datagram;
  /** The journal's entry, when an earlier run of the agent accepted the datagram. */
  readonly resumed?: JournalEntry | undefined;
}

/** Handles CoAP datagrams: the message layer and the resources, with the life of commands between them. */
export function createCoapServer(options: CoapServerOptions) {
  const { registry, authorize, lives, duplicates, stats, log, maxBytes, room, proofs, reply } = options;
  const resources = createResources({
    registry,
    authorize,
    maxBytes,
    identity: lives.identity,
    onDrop: stats.transferDropped,
  });
  const endpoint = createCoapEndpoint<Peer>({
    duplicates,
    find: lives.find,
    forgotten: (request, found) => resources.responseTo(request, replyOfForgotten(found, true)),
    dedupPolicyOf: resources.dedupPolicyOf,
    isUnproven: ({ datagram, name }) => room.isLimited(datagram, name),
    prove: ({ address }) => proofs.add(address),
    shorten,
    stats,
    handle,
  });

  function handle(exchange: CoapExchange<Peer>): void {
    const { request, peer, key, policy, seen, isLost, encode, send, acknowledge } = exchange;
    const { datagram, name: peerName, resumed } = peer;
    const life = lives.open({ datagram, peer: peerName, format: 'coap', resumed }, { key, policy, seen, isLost });

    function respond(parts: ResponseParts, ended?: NamedReply): void {
      const result = ended && lives.resultOf(life, idOf(request), ended.name, ended.reply);
      const isChanged = result !== undefined && result.reply !== ended?.reply;
      let sent = isChanged ? resources.responseTo(request, result.reply) : parts;
      const encodeResult = ([final]: readonly CommandResult[]) => {
        if (final !== undefined && final !== result) sent = resources.responseTo(request, final.reply);
        return encode(sent);
      };
      lives.finish(life, result === undefined ? [] : [result], encodeResult, (encoded) => send(sent, encoded));
    }

    function fail(name: string | undefined, error: unknown): void {
      log.error({ name, peer: peerName, error: messageOf(error) }, 'internal error');
      const ended = { name, reply: internalError(error) };
      respond(resources.responseTo(request, ended.reply), ended);
    }

    try {
      const run = (ready: ReadyCommand) => lives.run(life, ready);
      const limit = () => limitOf(peer, seen.accepted);
      resources.handle(request, peer, { run, respond, fail, acknowledge, limit });
    } catch (error) {
      fail(undefined, error);
    }
  }

  /** @param isSeparate a separate response has no Echo option (RFC 9175 §2.4) */
  function limitOf({ datagram, name, address }: Peer, isSeparate: boolean): ResponseLimit | undefined {
    if (!room.isLimited(datagram, name)) return undefined;
    const left = room.left(datagram, name);
    return isSeparate ? { bytes: left, echo: undefined } : { bytes: left - ACK_BYTES, echo: proofs.echoFor(address) };
  }

  function shorten(request: CoapMessage, encoded: Uint8Array, peer: Peer): Uint8Array {
    const limit = limitOf(peer, false);
    if (limit === undefined || encoded.length <= limit.bytes) return encoded;
    return endpoint.encode(request, resources.shorten(request, parseMessage(Buffer.from(encoded)), peer, limit));
  }

  function takeEcho({ options }: CoapMessage, { datagram, name, address }: Peer): void {
    const echo = room.isLimited(datagram, name) ? findOption(options, OPTION.echo) : undefined;
    if (echo !== undefined) proofs.takeEcho(address, echo);
  }

  const peerOf = (name: string, datagram: Datagram, resumed?: JournalEntry): Peer => ({
    name,
    address: datagram.source.address,
    datagram,
    resumed,
    send: (bytes, kind) => reply(bytes, datagram, name, kind),
  });

  return {
    receive(message: CoapMessage, datagram: Datagram, name: string): void {
      const peer = peerOf(name, datagram);
      takeEcho(message, peer);
      endpoint.receive(message, datagram.bytes, peer);
    },
    /** Runs a command of the journal; its peer knows, or will be told, that the response comes later. */
    resume(entry: JournalEntry, datagram: Datagram): void {
      endpoint.resume(parseMessage(datagram.bytes), datagram.bytes, peerOf(entry.command.peer, datagram, entry));
    },
    /** Returns the response that a repeat gets after recovery ended its command. */
    encodeEnding(command: JournalCommand, ending: Reply): Buffer {
      const request = parseMessage(Buffer.from(command.request));
      return endpoint.encode(request, resources.responseTo(request, ending));
    },
    /** Tells the peer how recovery ended its command. */
    report(command: JournalCommand, ending: Reply, datagram: Datagram): void {
      const request = parseMessage(datagram.bytes);
      endpoint.sendSeparately(request, resources.responseTo(request, ending), peerOf(command.peer, datagram));
    },
    stop: endpoint.stop,
  };
}
