import { type CoapMessage, parseMessage } from '../../../shared/coap/message.js';
import type { Reply } from '../../../shared/command.js';
import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import type { Registry } from '../../handlers/registry.js';
import type { Datagram } from '../../transport/transport.js';
import type { Authorize } from '../authorize.js';
import type { DuplicateTable } from '../dedup/duplicate-table.js';
import type { JournalCommand, JournalEntry } from '../journal/entry.js';
import { replyOfForgotten } from '../journal/handle.js';
import type { Lives } from '../life.js';
import { type CommandResult, internalError } from '../runner/result.js';
import type { Stats } from '../stats/stats.js';
import { type CoapExchange, type CoapPeer, createCoapEndpoint, type ResponseParts } from './endpoint.js';
import { createResources, idOf, type NamedReply } from './resources.js';

export interface CoapServerOptions {
  readonly registry: Registry;
  readonly authorize: Authorize;
  readonly lives: Lives;
  readonly duplicates: DuplicateTable;
  readonly stats: Pick<Stats, 'repeated' | 'transferDropped'>;
  readonly log: Log;
  /** Returns the size of the longest datagram that can leave now. */
  readonly maxBytes: () => number;
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
  const { registry, authorize, lives, duplicates, stats, log, maxBytes, reply } = options;
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
      const requester = { name: peerName, address: datagram.source.address };
      resources.handle(request, requester, { run: (ready) => lives.run(life, ready), respond, fail, acknowledge });
    } catch (error) {
      fail(undefined, error);
    }
  }

  const peerOf = (name: string, datagram: Datagram, resumed?: JournalEntry): Peer => ({
    name,
    datagram,
    resumed,
    send: (bytes, kind) => reply(bytes, datagram, name, kind),
  });

  return {
    receive: (message: CoapMessage, datagram: Datagram, peer: string): void =>
      endpoint.receive(message, datagram.bytes, peerOf(peer, datagram)),
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
    report(command: JournalCommand, ending: Reply): void {
      const request = parseMessage(Buffer.from(command.request));
      const datagram = { ...command, bytes: Buffer.from(command.request), receivedAt: performance.now() };
      endpoint.sendSeparately(request, resources.responseTo(request, ending), peerOf(command.peer, datagram));
    },
    stop: endpoint.stop,
  };
}
