import { MessageFormatError } from '../../shared/coap/message.js';
import type { Reply } from '../../shared/command.js';
import { MAX_PAYLOAD_BYTES } from '../../shared/limits.js';
import type { Log } from '../base/log.js';
import { createMinuteLog } from '../base/rate-limited-log.js';
import type { Config, ListenedPort } from '../config/schema.js';
import type { Registry } from '../handlers/registry.js';
import { type Datagram, type Endpoint, formatEndpoint } from '../transport/transport.js';
import { createAdmission, createCarrierCheck, type RefusalCause } from './admit.js';
import { createAuthorize } from './authorize.js';
import { createCoapServer } from './coap/server.js';
import { decode } from './codec/decode.js';
import { createDuplicateTable } from './dedup/duplicate-table.js';
import { createExchanges } from './exchange.js';
import type { JournalCommand, JournalEntry } from './journal/entry.js';
import type { Journal } from './journal/types.js';
import type { Outgoing, Send } from './outbox/delivery.js';
import { probe } from './probe.js';
import type { SubmitCommand } from './runner/deadline-gate.js';
import { createCommandLog } from './stats/command-log.js';
import type { Counters } from './stats/counters.js';
import { createMeters, type Meters } from './stats/meters.js';
import type { Last } from './stats/recent.js';
import { createRefusals } from './stats/refusals.js';

export interface PipelineOptions {
  readonly config: Config;
  readonly registry: Registry;
  readonly launch: SubmitCommand;
  /** Without it nothing is known of commands after the agent has ended. */
  readonly journal?: Journal | undefined;
  readonly send: Send;
  /** The longest datagram that can leave now; 1300 bytes where nothing asks for less. */
  readonly maxBytes?: (() => number) | undefined;
  readonly counters: Counters;
  readonly meters?: Meters | undefined;
  readonly last: Last;
  readonly log: Log;
}

/** A datagram's way: admit, decode, deduplicate, journal, run, reply. */
export function createPipeline(options: PipelineOptions) {
  const { config, registry, launch, journal, send, maxBytes = mostBytes, counters, last, log } = options;
  const { meters = createMeters() } = options;
  let changeable: Changeable = config;
  let refusalOf = createAdmission(config.allow);
  const isCarrier = createCarrierCheck(config.gateway);
  const ports = new Map(config.listen.ports.map((port) => [port.port, port]));
  const minuteLog = createMinuteLog(log);
  const refusals = createRefusals();
  const seen = createDuplicateTable();
  const logCommand = createCommandLog(counters, meters, last, log);
  const reply = (bytes: Uint8Array, { source, port, transport }: Origin, kind: 'reply' | 'signal') =>
    sendOut({ bytes, destination: destinationOf(source), port, via: transport, kind });
  const authorize = createAuthorize(() => changeable.security.unprotected);
  const life = { registry, authorize, launch, seen, journal, counters, meters, logCommand, log, maxBytes };
  const exchanges = createExchanges({ ...life, reply: (bytes, { datagram }) => reply(bytes, datagram, 'reply') });
  const coap = createCoapServer({ ...life, reply });

  return {
    receive,
    /**
     * Runs a command that the journal has from an earlier run of the agent.
     *
     * @throws Error when its request cannot be read
     */
    resume(entry: JournalEntry): void {
      const { command } = entry;
      const datagram = { ...command, bytes: Buffer.from(command.request), receivedAt: performance.now() };
      const { format, peer } = command;
      if (format === 'coap') coap.resume(entry, datagram);
      else exchanges.take({ ...decodedAgain(command), datagram, peer }, entry);
    },
    /** What is answered, and kept for repeats, when a command of the journal came to this. */
    encodeEnding({ command }: JournalEntry, ending: Reply): Uint8Array | undefined {
      if (command.format === 'coap') return coap.encodeEnding(command, ending);
      return exchanges.encodeForAll(decodedAgain(command), ending);
    },
    /** Logs what a command of the journal came to, and tells the peer that asked for it. */
    report({ command, reply: bytes }: JournalEntry, ending: Reply): void {
      const { id, name } = command;
      logCommand(command, { id, name, reply: ending, milliseconds: undefined });
      if (command.format === 'coap') coap.report(command, ending);
      else if (bytes !== null) reply(bytes, command, 'reply');
    },
    /** See {@link probe}. @param own gives the probe a place that no command can take */
    probe: (own: SubmitCommand): Promise<void> =>
      probe({ ...life, launch: own, refusalOf, source: firstOf(changeable.allow) }),
    /** Who was refused last, the latest first. */
    lastRefused: refusals.last,
    /** Takes up who may send commands, what they may run, and where replies go. */
    change(next: Changeable): void {
      changeable = next;
      refusalOf = createAdmission(next.allow);
    },
    /** Ends what goes on by itself. */
    stop: coap.stop,
  };

  function receive(datagram: Datagram): void {
    counters.received++;
    counters.receivedBytes += datagram.bytes.length;
    meters.transport(datagram.transport).receivedBytes += datagram.bytes.length;
    const cause = refusalOf(datagram);
    const port = ports.get(datagram.port);
    if (cause !== undefined || port === undefined) refuse(cause ?? 'source', datagram);
    else admit(datagram, port);
  }

  function refuse(cause: RefusalCause, { source, bytes, transport }: Datagram): void {
    counters[REFUSAL_COUNTERS[cause]]++;
    meters.transport(transport).received[cause]++;
    refusals.remember(cause, source.address, bytes.length);
    const details = { source: formatEndpoint(source), bytes: bytes.length };
    minuteLog(
      cause,
      cause === 'source' ? { ...details, admitBy: `allow: [${asRange(source)}]` } : details,
      'datagram refused',
    );
  }

  function admit(datagram: Datagram, port: ListenedPort): void {
    const { bytes, source, transport } = datagram;
    const peer = isCarrier(source.address) ? 'gateway' : formatEndpoint(source);
    if (log.isLevelEnabled('trace')) log.trace({ peer, port: port.port, hex: bytes.toString('hex') }, 'datagram in');
    const decoded = decode(bytes, port, maxBytes());
    if (decoded === undefined) countMalformed(peer, port, datagram);
    else if (decoded.format === 'coap') takeCoap(datagram, port, peer);
    else {
      meters.transport(transport).received.admitted++;
      exchanges.take({ message: decoded.message, datagram, peer, format: decoded.format });
    }
  }

  function countMalformed(peer: string, port: ListenedPort, { source, bytes, transport }: Datagram): void {
    counters.malformed++;
    meters.transport(transport).received.malformed++;
    refusals.remember('malformed', source.address, bytes.length);
    minuteLog(
      'malformed',
      { peer, port: port.port, expected: port.format, bytes: bytes.length },
      'datagram in no known format',
    );
  }

  function takeCoap(datagram: Datagram, port: ListenedPort, peer: string): void {
    const { received } = meters.transport(datagram.transport);
    try {
      counters.coap++;
      received.admitted++;
      coap.receive(datagram, peer);
    } catch (error) {
      if (!(error instanceof MessageFormatError)) throw error;
      counters.coap--;
      received.admitted--;
      countMalformed(peer, port, datagram);
    }
  }

  function destinationOf(source: Endpoint): Endpoint {
    const { to } = changeable.reply;
    return to === 'gateway' || (to === 'auto' && isCarrier(source.address)) ? config.gateway : source;
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

/** What can change while it runs. */
type Changeable = Pick<Config, 'allow' | 'reply' | 'security'>;

/** Where a reply goes: to where this datagram came from. */
type Origin = Pick<Datagram, 'source' | 'port' | 'transport'>;

/** The first address of the first of these ranges. */
const firstOf = ([range = '']: readonly string[]): string => range.split('/')[0] ?? '';

const mostBytes = () => MAX_PAYLOAD_BYTES;

export type Pipeline = ReturnType<typeof createPipeline>;

/**
 * A journalled datagram as it was decoded when it came, whatever its port is pinned to now.
 *
 * @throws Error when it cannot be: another version of the agent wrote it
 */
function decodedAgain({ request, port, format, name }: JournalCommand) {
  const decoded = format === 'coap' ? undefined : decode(Buffer.from(request), { port, format, handler: name });
  if (decoded?.message === undefined) throw new Error(`its request cannot be read as ${format}`);
  return decoded;
}

const REFUSAL_COUNTERS = { source: 'refusedSource', empty: 'refusedEmpty', oversize: 'refusedOversize' } as const;

/** The one address as a range; a link-local one's zone (`%eth0`) is no part of it. */
const asRange = ({ address }: Endpoint) =>
  address.includes(':') ? `${address.replace(/%.*/, '')}/128` : `${address}/32`;
