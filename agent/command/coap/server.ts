import { type CoapMessage, parseMessage } from '../../../shared/coap/message.js';
import { findOption, OPTION } from '../../../shared/coap/options.js';
import type { Reply } from '../../../shared/command.js';
import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import type { Registry } from '../../handlers/registry.js';
import type { Caller } from '../../security/authorize.js';
import type { OpenedRequest } from '../../security/protection.js';
import type { Security } from '../../security/security.js';
import type { Datagram } from '../../transport/transport.js';
import type { DuplicateTable } from '../dedup/duplicate-table.js';
import type { JournalCommand, JournalEntry } from '../journal/entry.js';
import { replyOfForgotten } from '../journal/handle.js';
import type { Lives, ReadyCommand } from '../life.js';
import type { Proofs } from '../peers/proofs.js';
import { GATEWAY_PEER, type Room } from '../peers/room.js';
import { type CommandResult, internalError } from '../runner/result.js';
import type { Stats } from '../stats/stats.js';
import { type CoapExchange, createCoapEndpoint } from './endpoint.js';
import { isProtected } from './protected-requests.js';
import type { CoapPeer, ResponseParts } from './received-request.js';
import { createResources, idOf, type NamedReply } from './resources.js';
import type { ResponseLimit } from './response-parts.js';

/** An empty acknowledgement, which may be sent before the response. */
const ACK_BYTES = 4;
/** What protection adds to a response: the OSCORE option with a Partial IV, the inner code and the tag. */
const PROTECTION_BYTES = 18;

export interface CoapServerOptions {
  readonly registry: Registry;
  readonly security: Pick<Security, 'access' | 'protection' | 'numbers'>;
  readonly lives: Lives;
  readonly duplicates: DuplicateTable;
  readonly stats: Pick<Stats, 'repeated' | 'transferDropped' | 'denied'>;
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
  const { registry, security, lives, duplicates, stats, log, maxBytes, room, proofs, reply } = options;
  const { access, protection, numbers } = security;
  const { authorize } = access;
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
    withCaller: ({ name, address, datagram, resumed, send }, caller) => ({
      name,
      address,
      caller,
      datagram,
      resumed,
      send,
    }),
    isUnproven: ({ datagram, name }) => room.isLimited(datagram, name),
    prove: ({ address }) => proofs.add(address),
    shorten,
    protection,
    numbers,
    stats,
    handle,
  });

  function handle(exchange: CoapExchange<Peer>): void {
    const { request, peer, key, opened, policy, seen, isLost, encode, send, acknowledge } = exchange;
    const { datagram, name: peerName, caller, resumed } = peer;
    const origin = { datagram, peer: peerName, format: 'coap', caller, protection: opened?.origin, resumed } as const;
    const life = lives.open(origin, { key, policy, seen, isLost });
    if (opened !== undefined) takeEcho(request, peer);

    function respond(parts: ResponseParts, ended?: NamedReply): void {
      const result = ended && lives.resultOf(life, idOf(request), ended.name, ended.reply);
      const isChanged = result !== undefined && result.reply !== ended?.reply;
      let sent = isChanged ? resources.responseTo(request, result.reply) : parts;
      const encodeResult = ([final]: readonly CommandResult[]) => {
        if (final !== undefined && final !== result) sent = resources.responseTo(request, final.reply);
        return encode(sent);
      };
      lives.finish(life, result === undefined ? [] : [result], encodeResult, send);
    }

    function fail(name: string | undefined, error: unknown): void {
      log.error({ name, peer: peerName, error: messageOf(error) }, 'internal error');
      const ended = { name, reply: internalError(error) };
      respond(resources.responseTo(request, ended.reply), ended);
    }

    try {
      const run = (ready: ReadyCommand) => lives.run(life, ready);
      const limit = () => limitOf(peer, seen.accepted, opened !== undefined);
      resources.handle(request, peer, { run, respond, fail, acknowledge, limit });
    } catch (error) {
      fail(undefined, error);
    }
  }

  /** @param isSeparate a separate response has no Echo option (RFC 9175 §2.4) */
  function limitOf(
    { datagram, name, address }: Peer,
    isSeparate: boolean,
    hasProtection: boolean,
  ): ResponseLimit | undefined {
    if (!room.isLimited(datagram, name)) return undefined;
    const left = room.left(datagram, name) - (hasProtection ? PROTECTION_BYTES : 0);
    return isSeparate ? { bytes: left, echo: undefined } : { bytes: left - ACK_BYTES, echo: proofs.echoFor(address) };
  }

  function shorten(request: CoapMessage, encoded: Uint8Array, peer: Peer): Uint8Array {
    const limit = limitOf(peer, false, false);
    if (limit === undefined || encoded.length <= limit.bytes) return encoded;
    return endpoint.encode(request, resources.shorten(request, parseMessage(Buffer.from(encoded)), peer, limit));
  }

  function takeEcho({ options }: CoapMessage, { datagram, name, address }: Peer): void {
    const echo = room.isLimited(datagram, name) ? findOption(options, OPTION.echo) : undefined;
    if (echo !== undefined) proofs.takeEcho(address, echo);
  }

  const peerOf = (
    request: CoapMessage,
    name: string,
    datagram: Datagram,
    caller: Caller,
    resumed?: JournalEntry,
  ): Peer => ({
    name,
    address: datagram.source.address,
    caller,
    datagram,
    resumed,
    send(bytes, kind) {
      // A reload may have closed the device meanwhile.
      const isClosed = caller.kind === 'anyone' && isIgnored(request, datagram, name);
      if (!isClosed) reply(bytes, datagram, name, kind);
    },
  });

  /** What the carrier brings unprotected costs an answer, and could be forged: it gets none but where it is allowed. */
  const isIgnored = (message: CoapMessage, { port }: Datagram, name: string): boolean =>
    access.isRequired &&
    name === GATEWAY_PEER &&
    message.type !== 'ACK' &&
    message.type !== 'RST' &&
    !isProtected(message) &&
    !access.isOpen(port, resources.commandsOf(message));

  /** @throws Error when its key is not in use any more */
  function reopened({ protection: origin }: JournalCommand, request: CoapMessage): OpenedRequest | undefined {
    if (origin === undefined) return undefined;
    const opened = protection.resume(origin, request);
    if (opened === undefined) throw new Error('the key of its request is not in use any more');
    return opened;
  }

  return {
    receive(message: CoapMessage, datagram: Datagram, name: string): void {
      if (isIgnored(message, datagram, name)) {
        stats.denied('unprotected', datagram.source.address, datagram.bytes.length);
        return;
      }
      const peer = peerOf(message, name, datagram, { kind: 'anyone', port: datagram.port });
      takeEcho(message, peer);
      endpoint.receive(message, datagram.bytes, peer);
    },
    /**
     * Runs a command of the journal; its peer knows, or will be told, that the response comes later.
     *
     * @throws Error when the key of its request is not in use any more
     */
    resume(entry: JournalEntry, datagram: Datagram): void {
      const { command } = entry;
      const request = parseMessage(datagram.bytes);
      const opened = reopened(command, request);
      const caller = opened?.caller ?? ({ kind: 'anyone', port: datagram.port } as const);
      endpoint.resume(request, datagram.bytes, peerOf(request, command.peer, datagram, caller, entry), opened);
    },
    /**
     * Returns the response that a repeat gets after recovery ended its command; undefined where it cannot be protected.
     *
     * @throws Error as `resume`
     */
    encodeEnding(command: JournalCommand, ending: Reply): Buffer | undefined {
      const request = parseMessage(Buffer.from(command.request));
      const parts = resources.responseTo(request, ending);
      const opened = reopened(command, request);
      const sealed = opened === undefined ? parts : opened.protect(parts);
      return sealed && endpoint.encode(request, sealed);
    },
    /** Tells the peer how recovery ended its command. @param encoded the response, as a repeat gets it */
    report(command: JournalCommand, encoded: Uint8Array, datagram: Datagram): void {
      const request = parseMessage(datagram.bytes);
      const response = parseMessage(Buffer.from(encoded));
      // A protected response says itself that its request was.
      const shown = isProtected(response) ? response : request;
      const peer = peerOf(shown, command.peer, datagram, { kind: 'anyone', port: datagram.port });
      endpoint.sendSeparately(request, response, peer);
    },
    stop: endpoint.stop,
  };
}
