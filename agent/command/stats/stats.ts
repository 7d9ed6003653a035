import type { CommandError, CommandFormat } from '../../../shared/command.js';
import { type CommandLine, createRateLimitedLog, type Log } from '../../base/log.js';
import type { NotStartedError } from '../../handlers/not-started.js';
import type { Datagram } from '../../transport/transport.js';
import type { RefusalCause } from '../peers/admit.js';
import { type CommandResult, codeOf, outcomeOf } from '../runner/result.js';
import { createCounters, type DenialCause, type HeldBackCause } from './counters.js';
import { createMeters, type HandlerMeter, observe, type TransportMeter } from './meters.js';
import { createRecent } from './recent.js';
import { createSources } from './sources.js';

/** Where a command came from. */
export interface CommandSource {
  readonly peer: string;
  /** The sender of its datagram. */
  readonly source: { readonly address: string };
  readonly transport: string;
  readonly format: CommandFormat;
}

/** The one book of statistics: each event is reported once, and counted for `status` and for metrics. */
export type Stats = ReturnType<typeof createStats>;

const REFUSAL_COUNTERS = {
  source: 'refusedSource',
  empty: 'refusedEmpty',
  oversize: 'refusedOversize',
  overload: 'refusedOverload',
} as const;

/** @param log gets a line `command` for each command that has ended */
export function createStats(log: Log) {
  const counters = createCounters();
  const meters = createMeters();
  const recent = createRecent();
  const sources = createSources();
  const minuteLog = createRateLimitedLog(log);
  const logCommand = (line: CommandLine) =>
    log.command === undefined ? log.info({ ...line }, 'command') : log.command(line);
  const transportMeter = (name: string): TransportMeter =>
    name === 'udp' || name === 'modem' ? meters.transports[name] : meters.otherTransport;
  const handlerMeter = (name: string | undefined): HandlerMeter =>
    (name === undefined ? undefined : meters.handlers.get(name)) ?? meters.others;
  return {
    /** For `status`. */
    counters,
    /** For metrics. */
    meters,
    /** The last command and datagram, and the sources that were refused last. */
    recent,
    /** Where the last commands came from. */
    sources,
    received({ bytes, transport }: Datagram): void {
      counters.received++;
      counters.receivedBytes += bytes.length;
      transportMeter(transport).receivedBytes += bytes.length;
    },
    admitted({ transport }: Datagram, format: CommandSource['format']): void {
      if (format === 'coap') counters.coap++;
      transportMeter(transport).received.admitted++;
    },
    refused(cause: RefusalCause, { bytes, source, transport }: Datagram): void {
      counters[REFUSAL_COUNTERS[cause]]++;
      transportMeter(transport).received[cause]++;
      recent.refused(cause, source.address, bytes.length);
    },
    malformed({ bytes, source, transport }: Datagram): void {
      counters.malformed++;
      transportMeter(transport).received.malformed++;
      recent.refused('malformed', source.address, bytes.length);
    },
    /** A reply was received instead of a command. */
    strayReply(): void {
      counters.strayReplies++;
    },
    /** A request was denied before its command was looked at. */
    denied(cause: DenialCause, address: string, bytes: number): void {
      counters.denied[cause]++;
      recent.refused(cause, address, bytes);
      minuteLog(`denied ${cause}`, { source: address, bytes }, DENIALS[cause]);
    },
    repeated(): void {
      counters.repeats++;
    },
    /** A request in CoAP blocks was given up for others before its last block came. */
    transferDropped(): void {
      counters.droppedTransfers++;
    },
    ended(source: CommandSource, result: CommandResult): void {
      const { peer, transport, format } = source;
      const { id, name, reply, milliseconds } = result;
      const outcome = outcomeOf(reply);
      const code = codeOf(reply);
      counters.outcomes[outcome]++;
      if (code === 'forbidden') counters.denied.forbidden++;
      else if (code === 'authentication-required') counters.denied.unprotected++;
      sources.add(source.source.address);
      handlerMeter(name).outcomes[outcome]++;
      recent.command = { name, outcome, code, peer, transport, at: performance.now() };
      const line = { id, name, peer, transport, format, ms: milliseconds, outcome };
      if ('error' in reply) logCommand({ ...line, code: reply.error.code, error: loggedMessage(reply.error) });
      else logCommand(line);
    },
    /** @param milliseconds that a handler ran until it ended or timed out */
    ran(handler: string, milliseconds: number): void {
      observe(handlerMeter(handler).runs, milliseconds);
    },
    /** A handler's program or service could not be started. */
    notStarted(handler: string, { code, message }: NotStartedError): void {
      counters.notStarted[code]++;
      minuteLog(code, { handler, error: message }, 'handler not started');
    },
    /** @param milliseconds from the receipt of the datagram until its reply was handed to the transport */
    replied(milliseconds: number): void {
      observe(meters.replies, milliseconds);
    },
    sent(bytes: Uint8Array, transport: string): void {
      counters.sent++;
      counters.sentBytes += bytes.length;
      recent.sent = { bytes: bytes.length, transport, at: performance.now() };
    },
    /** A reply or an event could not be sent at once. */
    unsent(): void {
      counters.unsent++;
    },
    /** A datagram was not sent because of a limit. */
    heldBack(cause: HeldBackCause): void {
      counters.heldBack[cause]++;
    },
  };
}

const DENIALS: Readonly<Record<DenialCause, string>> = {
  unprotected: 'request denied: it is not protected with a key',
  'unknown-kid': 'request denied: no key of this device has its kid or its kid context',
  'bad-tag': 'request denied: it was changed, or protected with another key',
  replay: 'request denied: it was accepted before, or is too old to tell',
  stale: 'request challenged: it may be an old one, as the replay window is not known',
  forbidden: 'request denied: its key may not call the command',
  malformed: 'request denied: its OSCORE option or ciphertext is malformed',
  'malformed-plaintext': 'request denied: what it protects is not a CoAP request',
  'outer-block': 'request denied: it has a Block option outside its protection',
  numbers: 'request not handled: there is no sequence number to protect its response with',
};

/** Leaves out the message of a parser, which quotes the payload: payloads are logged at level trace only. */
const loggedMessage = ({ code, message }: CommandError) => (code === 'parse-error' ? undefined : message);
