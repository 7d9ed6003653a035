import { MessageFormatError } from '../../shared/coap/message.js';
import { parametersOf } from '../../shared/coap/parameters.js';
import {
  type Command,
  type CommandError,
  type CommandFormat,
  type Format,
  MAX_NAME_LENGTH,
  type Reply,
} from '../../shared/command.js';
import { ERRORS, messageOf } from '../../shared/errors.js';
import { utf8Head } from '../../shared/format/cut.js';
import type { Entry, Message, Request } from '../../shared/format/message.js';
import type { DeviceOutcome } from '../../shared/outcome.js';
import type { Config, ListenedPort } from '../config/schema.js';
import type { Registry } from '../handlers/registry.js';
import type { Log } from '../log.js';
import { type Datagram, type Endpoint, formatEndpoint, type Transport } from '../transport/transport.js';
import { createAdmission, createCarrierCheck, type RefusalCause } from './admit.js';
import { createCoapEndpoint } from './coap/endpoint.js';
import { createResources } from './coap/resources.js';
import type { Counters } from './counters.js';
import { decode } from './decode.js';
import { encodableReply, encodeAnswers, markRepeat } from './encode.js';
import type { Launch } from './launch.js';
import { createMinuteLog } from './minute-log.js';
import { createSeen, datagramKey, type Seen } from './seen.js';

export interface PipelineOptions {
  readonly config: Config;
  readonly registry: Registry;
  readonly launch: Launch;
  readonly counters: Counters;
  readonly log: Log;
}

/** A datagram's message, and where it came from. */
interface Incoming {
  readonly message: Message;
  readonly datagram: Datagram;
  readonly transport: Transport;
  readonly peer: string;
  readonly format: Format;
}

/** One datagram's commands while their replies are awaited. */
interface Exchange {
  readonly incoming: Incoming;
  /** Set when its commands have an id to be known by when they come again. */
  readonly seen: Seen | undefined;
  readonly settled: Settled[];
  awaited: number;
}

/** A command that has come to its end. */
interface Ended {
  readonly id: Command['id'];
  readonly name: string | undefined;
  reply: Reply;
  readonly milliseconds: number;
}

interface Settled extends Ended {
  /** Notifications want none. */
  readonly wantsReply: boolean;
}

/**
 * A datagram's way: admit, decode, run, reply.
 *
 * @returns what a transport hands its datagrams to, and how what goes on by itself is stopped
 */
export function createPipeline({ config, registry, launch, counters, log }: PipelineOptions) {
  const refusalOf = createAdmission(config.allow);
  const isCarrier = createCarrierCheck(config.gateway);
  const ports = new Map(config.listen.ports.map((port) => [port.port, port]));
  const minuteLog = createMinuteLog(log);
  const seen = createSeen();
  const resources = createResources({ registry, launch });
  const coap = createCoapEndpoint({
    seen,
    isDisposable: resources.isDisposable,
    handle: (request, peer, respond) =>
      resources.handle(request, peer.name, respond, (name, reply) => {
        const id = request.token.toString('hex');
        logCommand(peer.name, peer.transport, 'coap', { id, name, reply, milliseconds: sinceThen(peer.receivedAt) });
      }),
  });

  return { receive, stop: coap.stop };

  function receive(datagram: Datagram, transport: Transport): void {
    counters.received++;
    counters.receivedBytes += datagram.bytes.length;
    const cause = refusalOf(datagram);
    const port = ports.get(datagram.port);
    if (cause !== undefined || port === undefined) refuse(cause ?? 'source', datagram);
    else admit(datagram, transport, port);
  }

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
      countMalformed(peer, port, bytes);
      return;
    }
    if (decoded.format === 'coap') {
      takeCoap(datagram, transport, port, peer);
      return;
    }
    take({ message: decoded.message, datagram, transport, peer, format: decoded.format });
  }

  /** Takes a message that has not come before; one that has is answered as it was then. */
  function take(incoming: Incoming): void {
    const { message, format, peer, datagram } = incoming;
    const { entries } = message;
    if (entries.length === 0) counters.strayReplies++;
    const now = performance.now();
    // What does no harm when it runs twice is run twice: remembering it would cost more.
    const remembered = format !== 'raw' && entries.some(hasId) && !isDisposable(message);
    const key = remembered ? datagramKey(peer, datagram.bytes) : undefined;
    const known = key === undefined ? undefined : seen.find(key, now);
    if (known !== undefined) {
      counters.repeats++;
      answerRepeat(incoming, known);
      return;
    }
    const lifetime = parametersOf(peer).exchangeLifetime;
    const entry = key === undefined ? undefined : seen.begin(key, false, now + lifetime, now);
    const exchange: Exchange = { incoming, seen: entry, settled: [], awaited: entries.length };
    const busy = key !== undefined && entry === undefined;
    for (const each of entries) {
      if ('error' in each) settle(exchange, each.id, undefined, true, each);
      else if (busy) settle(exchange, each.request.id, each.request.name, hasId(each), TOO_MANY_SEEN);
      else run(exchange, each.request);
    }
  }

  /** Whether running all of a message's commands twice does no harm. */
  function isDisposable({ entries }: Message): boolean {
    return entries.every((entry) => 'error' in entry || registry.get(entry.request.name)?.idempotent !== false);
  }

  function answerRepeat({ message, format, datagram, transport, peer }: Incoming, known: Seen): void {
    const reply = (bytes: Uint8Array) => send(transport, bytes, destinationOf(datagram.source), datagram.port, peer);
    if (known.reply !== undefined) reply(markRepeat(format, known.reply));
    if (!known.running) return;
    const answers = message.entries.filter(hasId).map((entry) => ({ id: idOf(entry), reply: STILL_RUNNING }));
    const bytes = encodeAnswers(format, answers, message.batch);
    if (bytes !== undefined) reply(markRepeat(format, bytes));
  }

  function countMalformed(peer: string, port: ListenedPort, bytes: Buffer): void {
    counters.malformed++;
    minuteLog(
      'malformed',
      { peer, port: port.port, expected: port.format, bytes: bytes.length },
      'datagram in no known format',
    );
  }

  function takeCoap(
    { bytes, source, receivedAt }: Datagram,
    transport: Transport,
    port: ListenedPort,
    peer: string,
  ): void {
    const reply = (message: Uint8Array) => send(transport, message, destinationOf(source), port.port, peer);
    try {
      counters.coap++;
      coap.receive(bytes, { name: peer, transport: transport.name, receivedAt, send: reply });
    } catch (error) {
      if (!(error instanceof MessageFormatError)) throw error;
      counters.coap--;
      countMalformed(peer, port, bytes);
    }
  }

  function run(exchange: Exchange, request: Request): void {
    const { name, params, id } = request;
    const { format, peer, datagram } = exchange.incoming;
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
    const command: Command = { id, name, params, format, peer, deadline: request.deadline };
    launch({ command, handler, params: bound.value, bytes: datagram.bytes.length, done });
  }

  function settle(
    exchange: Exchange,
    id: Command['id'],
    name: string | undefined,
    wantsReply: boolean,
    reply: Reply,
  ): void {
    const milliseconds = sinceThen(exchange.incoming.datagram.receivedAt);
    exchange.settled.push({ id, name: name && utf8Head(name, MAX_NAME_LENGTH), wantsReply, reply, milliseconds });
    exchange.awaited--;
    if (exchange.awaited === 0) conclude(exchange);
  }

  /** All commands of a datagram have ended: answers, and says so in the log. */
  function conclude(exchange: Exchange): void {
    const { incoming, settled } = exchange;
    const { datagram, transport, peer, format, message } = incoming;
    const answered = settled.filter((command) => command.wantsReply);
    let bytes: Uint8Array | undefined;
    try {
      bytes = encodeAnswers(format, answered, message.batch);
    } catch {
      bytes = encodeWithErrors(incoming, answered);
    }
    // A command that there was no room for may have it when it comes again.
    if (exchange.seen !== undefined && settled.every(isBusy)) seen.forget(exchange.seen);
    else if (exchange.seen !== undefined) seen.finish(exchange.seen, bytes);
    for (const command of settled) logCommand(peer, transport.name, format, command);
    if (bytes !== undefined) send(transport, bytes, destinationOf(datagram.source), datagram.port, peer);
  }

  /** Puts an error in the place of each reply that cannot be written; of all, where only together they cannot. */
  function encodeWithErrors({ format, message }: Incoming, answered: readonly Settled[]): Uint8Array | undefined {
    for (const command of answered) command.reply = encodableReply(format, command);
    try {
      return encodeAnswers(format, answered, message.batch);
    } catch (error) {
      for (const command of answered) command.reply = { error: { code: 'bad-reply', message: messageOf(error) } };
      return encodeAnswers(format, answered, message.batch);
    }
  }

  function logCommand(
    peer: string,
    transport: string,
    format: CommandFormat,
    { id, name, reply, milliseconds }: Ended,
  ) {
    const outcome = outcomeOf(reply);
    counters.outcomes[outcome]++;
    const line = { id, name, peer, transport, format, ms: milliseconds, outcome };
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

const idOf = (entry: Entry) => ('request' in entry ? entry.request.id : entry.id);
const hasId = (entry: Entry) => idOf(entry) !== undefined;

const isBusy = ({ reply }: Ended) => 'error' in reply && reply.error.code === 'busy';

const TOO_MANY_SEEN: Reply = { error: { code: 'busy', message: 'too many commands are remembered' } };
const STILL_RUNNING: Reply<'running'> = { error: { code: 'running', message: 'it is still running' } };

/** Milliseconds since then, with three decimals. */
const sinceThen = (then: number) => Math.round((performance.now() - then) * 1000) / 1000;

/** A parser's message quotes the payload, which is logged at trace only. */
const loggedMessage = ({ code, message }: CommandError) => (code === 'parse-error' ? undefined : message);

const REFUSAL_COUNTERS = { source: 'refusedSource', empty: 'refusedEmpty', oversize: 'refusedOversize' } as const;

/** The one address as a range; a link-local one's zone (`%eth0`) is no part of it. */
const asRange = ({ address }: Endpoint) =>
  address.includes(':') ? `${address.replace(/%.*/, '')}/128` : `${address}/32`;

const outcomeOf = (reply: Reply): DeviceOutcome => ('error' in reply ? ERRORS[reply.error.code].wire.outcome : 'done');
