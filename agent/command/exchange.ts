import { randomBytes } from 'node:crypto';
import { parametersOf } from '../../shared/coap/parameters.js';
import { type Command, type Format, MAX_NAME_LENGTH, type Reply } from '../../shared/command.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { utf8Head } from '../../shared/format/cut.js';
import type { Entry, Message, Request } from '../../shared/format/message.js';
import type { Log } from '../base/log.js';
import type { Registry } from '../handlers/registry.js';
import type { Datagram } from '../transport/transport.js';
import type { Authorize } from './authorize.js';
import { encodableReply, encodeAnswers, markRepeat } from './codec/encode.js';
import { type DuplicateTable, datagramKey, type Seen } from './dedup/duplicate-table.js';
import type { JournalEntry } from './journal/entry.js';
import {
  acknowledgeBeforeStart,
  createJournalHandle,
  type DedupPolicy,
  endingOf,
  type JournalHandle,
  journalKey,
  journalLate,
  type Known,
  outcomeAfterRestart,
  recall,
} from './journal/handle.js';
import type { Journal } from './journal/types.js';
import type { SubmitCommand } from './runner/deadline-gate.js';
import {
  type CommandLog,
  codeOf,
  type Ended,
  internalError,
  millisecondsSince,
  outcomeOf,
} from './stats/command-log.js';
import type { Counters } from './stats/counters.js';
import { type Meters, observe } from './stats/meters.js';

/** A datagram's message, where it came from, and how an answer gets there. */
export interface Incoming {
  readonly message: Message;
  readonly datagram: Datagram;
  readonly peer: string;
  readonly format: Format;
}

/** What the life of commands needs, whatever format they come in. */
export interface LifeOptions {
  readonly registry: Registry;
  readonly authorize: Authorize;
  readonly launch: SubmitCommand;
  readonly seen: DuplicateTable;
  /** Without it nothing is known of commands after the agent has ended. */
  readonly journal: Journal | undefined;
  readonly counters: Counters;
  readonly meters: Meters;
  readonly logCommand: CommandLog;
  readonly log: Log;
  /** The longest datagram that can leave now. */
  readonly maxBytes: () => number;
}

export interface ExchangeOptions extends LifeOptions {
  /** Sends an answer to where the datagram came from. */
  readonly reply: (bytes: Uint8Array, incoming: Incoming) => void;
}

/** One datagram's commands while their replies are awaited. */
interface Exchange {
  readonly incoming: Incoming;
  readonly resumed: JournalEntry | undefined;
  /** Set when its commands have an id to be known by when they come again. */
  readonly seen: Seen | undefined;
  journalled: JournalHandle | undefined;
  readonly settled: Settled[];
  awaited: number;
}

interface Settled extends Ended {
  reply: Reply;
  /** Notifications want none. */
  readonly wantsReply: boolean;
}

/** The life of the commands in text, JSON, CBOR and raw datagrams: deduplicate, journal, run, reply. */
export function createExchanges(options: ExchangeOptions) {
  const { registry, authorize, launch, seen, journal, counters, meters, logCommand, log, maxBytes } = options;

  /**
   * Takes a message that has not come before; one that has is answered as it was then.
   *
   * @param resumed what the journal has of it, when it was taken in before the agent was started
   */
  function take(incoming: Incoming, resumed?: JournalEntry): void {
    const { message, format, peer, datagram } = incoming;
    const { entries } = message;
    if (entries.length === 0) counters.strayReplies++;
    const care = dedupPolicyOf(message);
    const now = performance.now();
    const key =
      care !== 'none' && format !== 'raw' && entries.some(hasId) ? datagramKey(peer, datagram.bytes) : undefined;
    const known =
      key === undefined || resumed !== undefined ? undefined : (seen.find(key, now) ?? recall(journal, key));
    if (known !== undefined && !(known instanceof SupersimError)) {
      counters.repeats++;
      answerRepeat(incoming, known);
      return;
    }
    const lifetime = parametersOf(peer).exchangeLifetime;
    const remembered = key !== undefined && known === undefined && care === 'track';
    const entry = remembered ? seen.begin(key, false, lifetime, now) : undefined;
    const exchange: Exchange = {
      incoming,
      resumed,
      seen: entry,
      journalled: care === 'track' || resumed !== undefined ? enter(incoming, key, false, resumed) : undefined,
      settled: [],
      awaited: entries.length,
    };
    const refusal = known?.message ?? (remembered && entry === undefined ? TOO_MANY_SEEN : undefined);
    for (const each of entries) {
      if ('error' in each) settle(exchange, each.id, undefined, true, each);
      else if (refusal === undefined) runOrFail(exchange, each.request);
      else
        settle(exchange, each.request.id, each.request.name, hasId(each), {
          error: { code: 'busy', message: refusal },
        });
    }
  }

  /** What does no harm when it runs twice is run twice: remembering it would cost more. */
  function dedupPolicyOf({ entries }: Message): DedupPolicy {
    let care: DedupPolicy = 'none';
    for (const entry of entries) {
      if ('error' in entry) continue;
      const handler = registry.get(entry.request.name);
      if (handler === undefined || authorize(handler) !== undefined) care = 'lookup';
      else if (!handler.idempotent) return 'track';
    }
    return care;
  }

  /** The journal's entry of a datagram that may get one; a command without an id is known by nothing. */
  function enter(
    { message, datagram, peer, format }: Incoming,
    key: string | undefined,
    idempotent: boolean,
    resumed?: JournalEntry,
  ): JournalHandle | undefined {
    if (journal === undefined) return undefined;
    if (resumed !== undefined) return createJournalHandle(journal, resumed.command, true);
    const requests = message.entries.flatMap((entry) => ('request' in entry ? [entry.request] : []));
    const deadlines = requests.flatMap(({ deadline }) => deadline ?? []);
    const [first] = requests;
    const names = requests.map(({ name }) => utf8Head(name, MAX_NAME_LENGTH));
    return createJournalHandle(journal, {
      key: key === undefined ? randomBytes(KEY_BYTES) : journalKey(key),
      peer,
      id: first?.id,
      name: names.join(' '),
      format,
      request: datagram.bytes,
      source: datagram.source,
      port: datagram.port,
      transport: datagram.transport,
      idempotent,
      // That the agent runs again says nothing of other commands in the same datagram.
      endsWith: requests.length === 1 ? registry.get(first?.name ?? '')?.endsWith : undefined,
      deadline: deadlines.length === 0 ? null : Math.min(...deadlines) * 1000,
      lifetimeMs: parametersOf(peer).exchangeLifetime,
    });
  }

  function answerRepeat(incoming: Incoming, known: Known): void {
    if (known.reply !== undefined) options.reply(markRepeat(incoming.format, known.reply, maxBytes()), incoming);
    if (known.running) tellRunning(incoming, true);
  }

  /** Says of each command with an id that its reply comes later. */
  function tellRunning(incoming: Incoming, repeat: boolean): void {
    const { message, format } = incoming;
    const answers = message.entries.filter(hasId).map((entry) => ({ id: idOf(entry), reply: STILL_RUNNING }));
    const bytes = encodeAnswers(format, answers, message.batch, maxBytes());
    if (bytes !== undefined) options.reply(repeat ? markRepeat(format, bytes, maxBytes()) : bytes, incoming);
  }

  /** A command ends, whatever goes wrong over it: its repeats would be told for ever that it is running. */
  function runOrFail(exchange: Exchange, request: Request): void {
    const { name, id } = request;
    const { format, peer } = exchange.incoming;
    let ended = false;
    const done = (reply: Reply) => {
      if (ended) return;
      ended = true;
      settle(exchange, id, name, wantsReply(id, format), reply);
    };
    try {
      run(exchange, request, done);
    } catch (error) {
      log.error({ name: utf8Head(name, MAX_NAME_LENGTH), peer, error: messageOf(error) }, 'internal error');
      done(internalError(error));
    }
  }

  function run(exchange: Exchange, request: Request, done: (reply: Reply) => void): void {
    const { name, params, id } = request;
    const { format, peer, datagram } = exchange.incoming;
    const handler = registry.get(name);
    if (handler === undefined) {
      done({ error: { code: 'unknown-command', message: `there is no command ${utf8Head(name, MAX_NAME_LENGTH)}` } });
      return;
    }
    const refusal = authorize(handler);
    if (refusal !== undefined) {
      done({ error: refusal });
      return;
    }
    const bound = format === 'raw' ? { value: datagram.bytes } : handler.bind(params, format === 'text');
    if ('error' in bound) {
      done(bound);
      return;
    }
    const command: Command = { id, name, params, format, peer, deadline: request.deadline };
    launch({
      command,
      handler,
      params: bound.value,
      bytes: datagram.bytes.length,
      before:
        handler.endsWith === undefined
          ? exchange.journalled
          : acknowledgeBeforeStart(exchange.journalled, () => tellRunning(exchange.incoming, false)),
      done,
      slow: handler.safe ? undefined : () => slow(exchange),
    });
  }

  /** A command that takes its time is run again when the agent goes down meanwhile. */
  function slow(exchange: Exchange): void {
    if (exchange.journalled !== undefined) return;
    exchange.journalled = enter(exchange.incoming, undefined, true);
    journalLate(exchange.journalled);
  }

  function settle(
    exchange: Exchange,
    id: Command['id'],
    name: string | undefined,
    wantsReply: boolean,
    answer: Reply,
  ): void {
    const reply = exchange.resumed === undefined ? answer : outcomeAfterRestart(exchange.resumed, answer);
    const milliseconds = millisecondsSince(exchange.incoming.datagram.receivedAt);
    exchange.settled.push({ id, name: name && utf8Head(name, MAX_NAME_LENGTH), wantsReply, reply, milliseconds });
    exchange.awaited--;
    if (exchange.awaited === 0) conclude(exchange);
  }

  /** All commands of a datagram have ended: keeps that, answers, and says so in the log. */
  function conclude(exchange: Exchange): void {
    const { incoming, settled, journalled } = exchange;
    let bytes: Uint8Array | undefined;
    try {
      bytes = encode(incoming, settled, maxBytes());
    } catch (error) {
      logMistake(exchange, error);
    }
    try {
      if (journalled === undefined) deliver(exchange, bytes);
      else {
        const ended = settled.map(({ reply }) => ({ outcome: outcomeOf(reply), code: codeOf(reply) }));
        journalled.finish(endingOf(ended, bytes), () => deliver(exchange, bytes));
      }
    } catch (error) {
      logMistake(exchange, error);
      if (exchange.seen?.running) deliver(exchange, bytes);
    }
  }

  function logMistake({ incoming: { peer }, settled: [first] }: Exchange, error: unknown): void {
    log.error({ name: first?.name, peer, error: messageOf(error) }, 'internal error');
  }

  function deliver(exchange: Exchange, bytes: Uint8Array | undefined): void {
    const { incoming, settled, journalled, resumed } = exchange;
    const { datagram, peer, format } = incoming;
    if (exchange.seen !== undefined) seen.finish(exchange.seen, bytes);
    const origin = { peer, transport: datagram.transport, format };
    for (const command of settled) logCommand(origin, command);
    if (bytes === undefined) return;
    options.reply(bytes, incoming);
    if (resumed !== undefined) return;
    // Without a journal to wait for it is now what it was when the last of them ended.
    const ended = journalled === undefined ? settled.at(-1)?.milliseconds : undefined;
    observe(meters.replies, ended ?? millisecondsSince(datagram.receivedAt));
  }

  return {
    take,
    /** What is answered, and kept for repeats, when all commands of a message came to the same; errors stay. */
    encodeForAll({ message, format }: Pick<Incoming, 'message' | 'format'>, reply: Reply): Uint8Array | undefined {
      const answers = message.entries
        .filter((entry) => wantsReply(idOf(entry), format))
        .map((entry) => ({ id: idOf(entry), reply: 'error' in entry ? entry : reply }));
      return encodeAnswers(format, answers, message.batch, maxBytes());
    },
  };
}

/** An error stands in the place of each reply that cannot be written; of all, where only together they cannot. */
function encode({ format, message }: Incoming, settled: readonly Settled[], limit: number): Uint8Array | undefined {
  const answered = settled.filter((command) => command.wantsReply);
  try {
    return encodeAnswers(format, answered, message.batch, limit);
  } catch {
    for (const command of answered) command.reply = encodableReply(format, command, limit);
  }
  try {
    return encodeAnswers(format, answered, message.batch, limit);
  } catch (error) {
    for (const command of answered) command.reply = { error: { code: 'bad-reply', message: messageOf(error) } };
    return encodeAnswers(format, answered, message.batch, limit);
  }
}

const idOf = (entry: Entry) => ('request' in entry ? entry.request.id : entry.id);
const hasId = (entry: Entry) => idOf(entry) !== undefined;
const wantsReply = (id: Command['id'], format: Format) => id !== undefined || format === 'text' || format === 'raw';

/** As long as the digests that the others are known by. */
const KEY_BYTES = 32;
const TOO_MANY_SEEN = 'too many commands are remembered';
const STILL_RUNNING: Reply<'running'> = { error: { code: 'running', message: 'it is still running' } };
