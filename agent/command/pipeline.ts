import type { Reply } from '../../shared/command.js';
import { messageOf } from '../../shared/errors.js';
import type { Message } from '../../shared/format/message.js';
import { MAX_PAYLOAD_BYTES } from '../../shared/limits.js';
import { createRateLimitedLog, type Log } from '../base/log.js';
import type { Config, ListenedPort } from '../config/schema.js';
import type { Registry } from '../handlers/registry.js';
import type { Security } from '../security/security.js';
import { formatEndpoint, rangeOfAddress } from '../transport/endpoint.js';
import type { Datagram } from '../transport/transport.js';
import { createCoapServer } from './coap/server.js';
import { decode } from './codec/decode.js';
import { fitReply } from './codec/encode.js';
import { createDuplicateTable } from './dedup/duplicate-table.js';
import { createExchanges } from './exchange.js';
import type { JournalCommand, JournalEntry } from './journal/entry.js';
import type { Journal } from './journal/types.js';
import { createLives } from './life.js';
import type { Outgoing, Send } from './outbox/delivery.js';
import { createAdmission, createCarrierCheck, type RefusalCause } from './peers/admit.js';
import { createIntake } from './peers/intake.js';
import { createProofs } from './peers/proofs.js';
import { createRoom, GATEWAY_PEER } from './peers/room.js';
import { probe } from './probe.js';
import type { SubmitCommand } from './runner/deadline-gate.js';
import type { Stats } from './stats/stats.js';

export interface PipelineOptions {
  readonly config: Config;
  readonly registry: Registry;
  readonly submit: SubmitCommand;
  /** Without it commands are not remembered over a restart. */
  readonly journal?: Journal | undefined;
  /** Returns the identity of the journal, as a reply carries it. */
  readonly identity?: (() => string | undefined) | undefined;
  readonly send: Send;
  /** Who may command the device. */
  readonly security: Pick<Security, 'access' | 'protection' | 'numbers'>;
  /** Returns the size of the longest datagram that can leave now; 1300 bytes unless a modem takes less. */
  readonly maxBytes?: (() => number) | undefined;
  readonly stats: Stats;
  /**
   * Returns how long the event loop has waited for work since the start, in milliseconds. Without it no datagram waits
   * for others in an overload.
   */
  readonly idleMs?: (() => number) | undefined;
  readonly log: Log;
}

/** The way of a datagram: admit, decode, deduplicate, journal, run, reply. */
export function createPipeline(options: PipelineOptions) {
  const {
    config,
    registry,
    submit,
    journal,
    identity,
    send,
    security,
    maxBytes = mostBytes,
    stats,
    idleMs,
    log,
  } = options;
  let changeable: Changeable = config;
  let refusalOf = createAdmission(config.allow);
  const isCarrier = createCarrierCheck(config.gateway);
  const ports = new Map(config.listen.ports.map((port) => [port.port, port]));
  const minuteLog = createRateLimitedLog(log);
  const proofs = createProofs();
  const room = createRoom(proofs, () => changeable.reply.to === 'gateway');
  const duplicates = createDuplicateTable();
  const { access } = security;
  const { authorize } = access;
  const lives = createLives({ authorize, submit, duplicates, journal, identity, stats, log });
  const shared = { registry, authorize, lives, duplicates, stats, log, maxBytes };
  const exchanges = createExchanges({
    ...shared,
    reply(bytes, { datagram, peer, message }) {
      // A reload may have closed the device meanwhile.
      if (peer !== GATEWAY_PEER || isAnswered(message, datagram.port)) reply(bytes, datagram, peer, 'reply');
    },
  });
  const coap = createCoapServer({ ...shared, security, room, proofs, reply });
  const intake =
    idleMs && createIntake({ handle: admitOrLog, shed: (datagram) => refuse('overload', datagram), idleMs });

  return {
    receive,
    /**
     * Runs a command that an earlier run of the agent accepted.
     *
     * @throws Error when its request cannot be read
     */
    resume(entry: JournalEntry): void {
      const { command } = entry;
      const datagram = datagramOf(command);
      const { format, peer } = command;
      if (format === 'coap') coap.resume(entry, datagram);
      else {
        const caller = { kind: 'anyone', port: datagram.port } as const;
        exchanges.take({ ...decodeAgain(command), datagram, peer, caller, maxBytes: limitOf(datagram, peer) }, entry);
      }
    },
    /** Encodes the reply that a repeat gets after recovery ended its command, if there is one. */
    encodeEnding({ command }: JournalEntry, ending: Reply): Uint8Array | undefined {
      if (command.format === 'coap') return coap.encodeEnding(command, ending);
      return exchanges.encodeForAll({ ...decodeAgain(command), maxBytes }, ending);
    },
    /** Logs how recovery ended a command, and tells the peer. */
    report({ command, reply: bytes }: JournalEntry, ending: Reply): void {
      const { id, name, peer } = command;
      stats.ended(command, { id, name, reply: ending, milliseconds: undefined });
      const datagram = datagramOf(command);
      if (bytes === null) return;
      if (command.format === 'coap') coap.report(command, bytes, datagram);
      else if (peer !== GATEWAY_PEER || access.isOpen(datagram.port, name.split(' ')))
        reply(fitReply(command.format, bytes, limitOf(datagram, peer)()), datagram, peer, 'reply');
    },
    /** See {@link probe}. @param own runs the probe in a place that no command can take */
    probe: (own: SubmitCommand): Promise<void> =>
      probe({ registry, submit: own, duplicates, maxBytes, refusalOf, source: firstOf(changeable.allow) }),
    /** Applies a configuration: who may send commands, and where replies go. */
    change(next: Changeable): void {
      changeable = next;
      refusalOf = createAdmission(next.allow);
    },
    /** Takes in what waits in an overload. */
    drain: (): void => intake?.drain(),
    /** Stops retransmissions. */
    stop: coap.stop,
  };

  function receive(datagram: Datagram): void {
    stats.received(datagram);
    const cause = refusalOf(datagram);
    if (cause !== undefined || !ports.has(datagram.port)) {
      intake?.countRefused();
      refuse(cause ?? 'source', datagram);
    }
    // A modem is too slow for an overload.
    else if (intake === undefined || datagram.transport === 'modem') admitOrLog(datagram);
    else intake.take(datagram);
  }

  function admitOrLog(datagram: Datagram): void {
    try {
      admit(datagram);
    } catch (error) {
      // A mistake of the agent's own: the next datagram may fare better.
      log.error({ error: messageOf(error), peer: formatEndpoint(datagram.source) }, 'internal error');
    }
  }

  function refuse(cause: RefusalCause, datagram: Datagram): void {
    stats.refused(cause, datagram);
    const { source, bytes } = datagram;
    const details = { source: formatEndpoint(source), bytes: bytes.length };
    minuteLog(
      cause,
      cause === 'source' ? { ...details, admitBy: `allow: [${rangeOfAddress(source.address)}]` } : details,
      'datagram refused',
    );
  }

  function admit(datagram: Datagram): void {
    const { bytes, source } = datagram;
    const port = ports.get(datagram.port);
    if (port === undefined) return;
    const peer = isCarrier(source.address) ? GATEWAY_PEER : formatEndpoint(source);
    if (log.isLevelEnabled('trace')) log.trace({ peer, port: port.port, hex: bytes.toString('hex') }, 'datagram in');
    const limit = limitOf(datagram, peer);
    const decoded = decode(bytes, port, limit());
    if (decoded === undefined) countMalformed(peer, port, datagram);
    else {
      stats.admitted(datagram, decoded.format);
      if (decoded.format === 'coap') coap.receive(decoded.coapMessage, datagram, peer);
      else if (peer === GATEWAY_PEER && !isAnswered(decoded.message, port.port)) {
        stats.denied('unprotected', source.address, bytes.length);
      } else {
        const caller = { kind: 'anyone', port: port.port } as const;
        exchanges.take({ message: decoded.message, datagram, peer, caller, format: decoded.format, maxBytes: limit });
      }
    }
  }

  /** What the carrier brings unprotected costs an answer, and could be forged: it gets none but where it is allowed. */
  function isAnswered({ entries }: Message, port: number): boolean {
    if (!access.isRequired) return true;
    const names = entries.map((entry) => ('request' in entry ? entry.request.name : ''));
    return access.isOpen(port, names);
  }

  function countMalformed(peer: string, port: ListenedPort, datagram: Datagram): void {
    stats.malformed(datagram);
    minuteLog(
      'malformed',
      { peer, port: port.port, expected: port.format, bytes: datagram.bytes.length },
      'datagram in no known format',
    );
  }

  /** Returns a function that tells how long an answer to a datagram may be now. */
  function limitOf(datagram: Datagram, peer: string): () => number {
    return room.isLimited(datagram, peer) ? () => Math.min(maxBytes(), room.left(datagram, peer)) : maxBytes;
  }

  function datagramOf(command: JournalCommand): Datagram {
    const datagram = { ...command, bytes: Buffer.from(command.request), receivedAt: performance.now() };
    // Before the restart it may have been acknowledged.
    room.take(datagram, command.peer, ACK_BYTES);
    return datagram;
  }

  function reply(bytes: Uint8Array, datagram: Datagram, peer: string, kind: 'reply' | 'signal'): void {
    const { source, port, transport } = datagram;
    if (!room.take(datagram, peer, bytes.length)) {
      stats.heldBack('size');
      minuteLog(
        'size',
        { peer, bytes: bytes.length },
        'reply held back: too long for a peer that has not proved its address',
      );
      return;
    }
    const { to } = changeable.reply;
    const toGateway = to === 'gateway' || (to === 'auto' && peer === GATEWAY_PEER);
    const destination = toGateway ? config.gateway : source;
    sendOut({ bytes, destination, port, via: transport, kind, holder: source.address });
  }

  function sendOut(outgoing: Outgoing): void {
    if (log.isLevelEnabled('trace')) {
      const { bytes, destination, port, via } = outgoing;
      log.trace(
        { to: formatEndpoint(destination), port, via, hex: Buffer.from(bytes).toString('hex') },
        'datagram out',
      );
    }
    send(outgoing);
  }
}

/** An empty acknowledgement in CoAP. */
const ACK_BYTES = 4;

/** What a reload can change. */
type Changeable = Pick<Config, 'allow' | 'reply'>;

/** Returns the first address of the first range. */
const firstOf = ([range = '']: readonly string[]): string => range.split('/')[0] ?? '';

const mostBytes = () => MAX_PAYLOAD_BYTES;

export type Pipeline = ReturnType<typeof createPipeline>;

/**
 * Decodes a journalled datagram as when it was received, whatever its port is pinned to now.
 *
 * @throws Error when it cannot be decoded: another version of the agent wrote it
 */
function decodeAgain({ request, port, format, name }: JournalCommand) {
  const decoded = format === 'coap' ? undefined : decode(Buffer.from(request), { port, format, handler: name });
  if (decoded === undefined || decoded.format === 'coap') throw new Error(`its request cannot be read as ${format}`);
  return decoded;
}
