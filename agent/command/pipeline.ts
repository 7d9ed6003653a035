import { type Command, type CommandError, type Format, MAX_NAME_LENGTH, type Reply } from '../../shared/command.js';
import { ERRORS, messageOf } from '../../shared/errors.js';
import { utf8Head } from '../../shared/format/cut.js';
import type { Entry, Request } from '../../shared/format/message.js';
import type { Outcome } from '../../shared/outcome.js';
import type { Config, ListenedPort } from '../config/schema.js';
import type { Registry } from '../handlers/registry.js';
import type { Log } from '../log.js';
import { type Datagram, type Endpoint, formatEndpoint, type Transport } from '../transport/transport.js';
import { createAdmission, createCarrierCheck, type RefusalCause } from './admit.js';
import type { Counters } from './counters.js';
import { decode } from './decode.js';
import { encodableReply, encodeAnswers } from './encode.js';
import { createMinuteLog } from './minute-log.js';
import type { Runner } from './run.js';

export interface PipelineOptions {
  readonly config: Config;
  readonly registry: Registry;
  readonly runner: Runner;
  readonly counters: Counters;
  readonly log: Log;
}

/** One datagram's commands while their replies are awaited. */
interface Exchange {
  readonly datagram: Datagram;
  readonly transport: Transport;
  readonly peer: string;
  readonly format: Format;
  readonly batch: boolean;
  readonly settled: Settled[];
  awaited: number;
}

/** A command that has come to its end. */
interface Settled {
  readonly id: Command['id'];
  readonly name: string | undefined;
  /** Notifications want none. */
  readonly wantsReply: boolean;
  reply: Reply;
  readonly milliseconds: number;
}

/**
 * A datagram's way: admit, decode, run, reply.
 *
 * @returns what a transport hands its datagrams to
 */
export function createPipeline({ config, registry, runner, counters, log }: PipelineOptions) {
  const refusalOf = createAdmission(config.allow);
  const isCarrier = createCarrierCheck(config.gateway);
  const ports = new Map(config.listen.ports.map((port) => [port.port, port]));
  const minuteLog = createMinuteLog(log);

  return function receive(datagram: Datagram, transport: Transport): void {
    counters.received++;
    counters.receivedBytes += datagram.bytes.length;
    const cause = refusalOf(datagram);
    const port = ports.get(datagram.port);
    if (cause !== undefined || port === undefined) refuse(cause ?? 'source', datagram);
    else admit(datagram, transport, port);
  };

  function refuse(cause: RefusalCause, { source, bytes }: Datagram): void {
    counters[REFUSAL_COUNTERS[cause]]++;
    const details = { source: formatEndpoint(source), bytes: bytes.length };
    minuteLog(
      cause,
      cause === 'source' ? { ...details, admitBy: `allow: [${asRange(source)}]` } : details,
      'datagram refused',
    );
  }

  function admit(datagram: Datagram, transport: Transport, port: ListenedPort): void {
    const { bytes, source } = datagram;
    const peer = isCarrier(source.address) ? 'gateway' : formatEndpoint(source);
    if (log.isLevelEnabled('trace')) log.trace({ peer, port: port.port, hex: bytes.toString('hex') }, 'datagram in');
    const decoded = decode(bytes, port);
    if (decoded === undefined) {
      counters.malformed++;
      minuteLog(
        'malformed',
        { peer, port: port.port, expected: port.format, bytes: bytes.length },
        'datagram in no known format',
      );
      return;
    }
    const { entries, batch } = decoded.message;
    if (entries.length === 0) counters.strayReplies++;
    const exchange: Exchange = {
      datagram,
      transport,
      peer,
      format: decoded.format,
      batch,
      settled: [],
      awaited: entries.length,
    };
    for (const entry of entries) take(exchange, entry);
  }

  function take(exchange: Exchange, entry: Entry): void {
    if ('error' in entry) settle(exchange, entry.id, undefined, true, entry);
    else run(exchange, entry.request);
  }

  function run(exchange: Exchange, request: Request): void {
    const { name, params, id } = request;
    const { format, peer, datagram } = exchange;
    const wantsReply = id !== undefined || format === 'text' || format === 'raw';
    const done = (reply: Reply) => settle(exchange, id, name, wantsReply, reply);
    const handler = registry.get(name);
    if (handler === undefined) {
      done({ error: { code: 'unknown-command', message: `there is no command ${utf8Head(name, MAX_NAME_LENGTH)}` } });
      return;
    }
    const bound = format === 'raw' ? { value: datagram.bytes } : handler.bind(params, format === 'text');
    if ('error' in bound) {
      done(bound);
      return;
    }
    const command: Command = id === undefined ? { name, params, format, peer } : { id, name, params, format, peer };
    runner.submit({ command, handler, params: bound.value, bytes: datagram.bytes.length, done });
  }

  function settle(
    exchange: Exchange,
    id: Command['id'],
    name: string | undefined,
    wantsReply: boolean,
    reply: Reply,
  ): void {
    const milliseconds = Math.round((performance.now() - exchange.datagram.receivedAt) * 1000) / 1000;
    exchange.settled.push({ id, name: name && utf8Head(name, MAX_NAME_LENGTH), wantsReply, reply, milliseconds });
    exchange.awaited--;
    if (exchange.awaited === 0) conclude(exchange);
  }

  /** All commands of a datagram have ended: answers, and says so in the log. */
  function conclude(exchange: Exchange): void {
    const { datagram, transport, peer, format, batch, settled } = exchange;
    const answered = settled.filter((command) => command.wantsReply);
    let bytes: Uint8Array | undefined;
    try {
      bytes = encodeAnswers(format, answered, batch);
    } catch {
      bytes = encodeWithErrors(exchange, answered);
    }
    for (const command of settled) logCommand(exchange, command);
    if (bytes !== undefined) send(transport, bytes, destinationOf(datagram.source), datagram.port, peer);
  }

  /** Puts an error in the place of each reply that cannot be written; of all, where only together they cannot. */
  function encodeWithErrors({ format, batch }: Exchange, answered: readonly Settled[]): Uint8Array | undefined {
    for (const command of answered) command.reply = encodableReply(format, command);
    try {
      return encodeAnswers(format, answered, batch);
    } catch (error) {
      for (const command of answered) command.reply = { error: { code: 'bad-reply', message: messageOf(error) } };
      return encodeAnswers(format, answered, batch);
    }
  }

  function logCommand({ peer, transport, format }: Exchange, { id, name, reply, milliseconds }: Settled): void {
    const outcome = outcomeOf(reply);
    counters.outcomes[outcome]++;
    const line = { id, name, peer, transport: transport.name, format, ms: milliseconds, outcome };
    if ('error' in reply) log.info({ ...line, code: reply.error.code, error: loggedMessage(reply.error) }, 'command');
    else log.info(line, 'command');
  }

  function destinationOf(source: Endpoint): Endpoint {
    const { to } = config.reply;
    return to === 'gateway' || (to === 'auto' && isCarrier(source.address)) ? config.gateway : source;
  }

  function send(transport: Transport, bytes: Uint8Array, destination: Endpoint, port: number, peer: string): void {
    if (log.isLevelEnabled('trace')) log.trace({ peer, port, hex: Buffer.from(bytes).toString('hex') }, 'datagram out');
    transport.send(bytes, destination, port, (error) => {
      if (error === undefined) {
        counters.sent++;
        counters.sentBytes += bytes.length;
      } else {
        counters.unsent++;
        minuteLog('unsent', { peer, error: error.message }, 'reply lost');
      }
    });
  }
}

/** A parser's message quotes the payload, which is logged at trace only. */
const loggedMessage = ({ code, message }: CommandError) => (code === 'parse-error' ? undefined : message);

const REFUSAL_COUNTERS = { source: 'refusedSource', empty: 'refusedEmpty', oversize: 'refusedOversize' } as const;

/** The one address as a range; a link-local one's zone (`%eth0`) is no part of it. */
const asRange = ({ address }: Endpoint) =>
  address.includes(':') ? `${address.replace(/%.*/, '')}/128` : `${address}/32`;

const outcomeOf = (reply: Reply): Outcome => ('error' in reply ? ERRORS[reply.error.code].wire.outcome : 'done');
