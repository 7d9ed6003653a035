import { parametersOf } from '../../shared/coap/parameters.js';
import { type Command, type Format, MAX_NAME_LENGTH, type Reply } from '../../shared/command.js';
import { messageOf } from '../../shared/errors.js';
import { utf8Head } from '../../shared/format/cut.js';
import type { Entry, Message, Request } from '../../shared/format/message.js';
import type { Log } from '../base/log.js';
import type { Registry } from '../handlers/registry.js';
import type { Authorize, Caller } from '../security/authorize.js';
import type { Datagram } from '../transport/transport.js';
import { encodableReply, encodeAnswers, encodingError, markRepeat } from './codec/encode.js';
import type { DuplicateTable } from './dedup/duplicate-table.js';
import {
  type DatagramKey,
  type DedupPolicy,
  datagramKey,
  dedupPolicyFor,
  type SeenReply,
  textOf,
} from './dedup/entry.js';
import type { JournalEntry } from './journal/entry.js';
import { replyOfForgotten, seenReplyOf } from './journal/handle.js';
import type { Found } from './journal/types.js';
import type { JournalDetails, Life, Lives } from './life.js';
import { type CommandResult, internalError } from './runner/result.js';
import type { Stats } from './stats/stats.js';

/** A decoded datagram. */
export interface Incoming {
  readonly message: Message;
  readonly datagram: Datagram;
  readonly peer: string;
  readonly caller: Caller;
  readonly format: Format;
  /** Returns the size of the longest reply that can leave now: while a command runs, the link may change. */
  readonly maxBytes: () => number;
}

export interface ExchangeOptions {
  readonly registry: Registry;
  readonly authorize: Authorize;
  readonly lives: Lives;
  readonly duplicates: DuplicateTable;
  readonly stats: Pick<Stats, 'strayReply' | 'repeated'>;
  readonly log: Log;
  /** Sends a reply to where the datagram came from. */
  readonly reply: (bytes: Uint8Array, incoming: Incoming) => void;
}

/** The commands of one datagram until each has its result. */
interface Exchange {
  readonly incoming: Incoming;
  readonly life: Life;
  readonly results: Answer[];
}

interface Answer extends CommandResult {
  reply: Reply;
  /** False for a notification. */
  readonly wantsReply: boolean;
}

/** Handles text, JSON, CBOR and raw datagrams: recognises repeats, runs each command, and sends one reply for all. */
export function createExchanges(options: ExchangeOptions) {
  const { registry, authorize, lives, duplicates, stats, log } = options;

  /**
   * Handles a datagram. A repeat is answered as the first was.
   *
   * @param resumed the journal's entry, when an earlier run of the agent accepted the datagram
   */
  function take(incoming: Incoming, resumed?: JournalEntry): void {
    const { message, format, peer, datagram, caller } = incoming;
    const { entries } = message;
    if (entries.length === 0) stats.strayReply();
    const policy = dedupPolicyOf(message, caller);
    const isKeyed = policy !== 'none' && format !== 'raw' && entries.some(hasId);
    const key = isKeyed ? datagramKey(peer, datagram.bytes) : undefined;
    if (policy === 'none' || resumed !== undefined) begin(incoming, policy, key, undefined, resumed);
    else lives.find(key, peer, (found) => answerOrBegin(incoming, policy, key, found));
  }

  function answerOrBegin(incoming: Incoming, policy: DedupPolicy, key: DatagramKey | undefined, found?: Found): void {
    const seen = key && duplicates.find(textOf(key), performance.now());
    const repeat = seen ?? (found && seenReplyOf(found));
    if (repeat !== undefined) {
      stats.repeated();
      answerRepeat(incoming, repeat);
    } else if (found?.kind === 'forgotten') {
      stats.repeated();
      const reply = encodeForAll(incoming, replyOfForgotten(found, incoming.message.entries.length === 1));
      if (reply !== undefined) options.reply(markRepeat(incoming.format, reply, incoming.maxBytes()), incoming);
    } else begin(incoming, policy, key, found);
  }

  function begin(
    incoming: Incoming,
    policy: DedupPolicy,
    key: DatagramKey | undefined,
    found: Found | undefined,
    resumed?: JournalEntry,
  ): void {
    const { message, format, peer, datagram, caller } = incoming;
    const isTracked = key !== undefined && found?.kind !== 'unknown' && policy === 'track';
    const seen = isTracked
      ? duplicates.begin(textOf(key), parametersOf(peer).exchangeLifetime, performance.now())
      : undefined;
    const refusal = found?.kind === 'unknown' ? found.error.message : undefined;
    const isLost = isTracked && found?.kind === 'lost';
    const life = lives.open({ datagram, peer, format, caller, resumed }, { key, policy, seen, isLost });
    const exchange: Exchange = { incoming, life, results: [] };
    for (const entry of message.entries) {
      if ('error' in entry) settle(exchange, entry.id, undefined, true, entry);
      else if (refusal === undefined) run(exchange, entry.request);
      else {
        const { id, name } = entry.request;
        settle(exchange, id, name, hasId(entry), { error: { code: 'busy', message: refusal } });
      }
    }
  }

  /** Commands that may run twice are not tracked: that would cost more than running them again. */
  function dedupPolicyOf({ entries }: Message, caller: Caller): DedupPolicy {
    let policy: DedupPolicy = 'none';
    for (const entry of entries) {
      if ('error' in entry) continue;
      const one = dedupPolicyFor(registry.get(entry.request.name), authorize, caller);
      if (one === 'track') return one;
      if (one === 'lookup') policy = one;
    }
    return policy;
  }

  /** All commands of a datagram share one entry of the journal. */
  function describeDatagram({ message, datagram }: Incoming, idempotent: boolean): JournalDetails {
    const requests = message.entries.flatMap((entry) => ('request' in entry ? [entry.request] : []));
    const deadlines = requests.flatMap(({ deadline }) => deadline ?? []);
    const [first] = requests;
    return {
      id: first?.id,
      name: requests.map(({ name }) => utf8Head(name, MAX_NAME_LENGTH)).join(' '),
      request: datagram.bytes,
      idempotent,
      // A restart of the agent does not mean that other commands in the same datagram are done.
      endsWith: requests.length === 1 ? registry.get(first?.name ?? '')?.endsWith : undefined,
      deadline: deadlines.length === 0 ? undefined : Math.min(...deadlines),
    };
  }

  function answerRepeat(incoming: Incoming, { reply, running }: SeenReply): void {
    if (reply !== undefined) options.reply(markRepeat(incoming.format, reply, incoming.maxBytes()), incoming);
    if (running) acknowledge(incoming, true);
  }

  /** Tells the sender, for each command with an id, that its reply comes later. */
  function acknowledge(incoming: Incoming, isRepeat: boolean): void {
    const { message, format } = incoming;
    const limit = incoming.maxBytes();
    const answers = message.entries.filter(hasId).map((entry) => ({ id: idOf(entry), reply: STILL_RUNNING }));
    const bytes = encodeAnswers(format, answers, message.batch, limit);
    if (bytes !== undefined) options.reply(isRepeat ? markRepeat(format, bytes, limit) : bytes, incoming);
  }

  function run(exchange: Exchange, request: Request): void {
    const { incoming, life } = exchange;
    const { name, params, id, deadline, asksJournal } = request;
    const { format, peer, datagram } = incoming;
    const journal = asksJournal ? lives.identity() : undefined;
    const settleWith = (reply: Reply) =>
      settle(exchange, id, name, wantsReply(id, format), journal === undefined ? reply : { ...reply, journal });
    const ready = prepareOrLog(request, incoming);
    if ('error' in ready) {
      settleWith(ready);
      return;
    }
    lives.run(life, {
      command: { id, name, params, format, peer, deadline },
      handler: ready.handler,
      params: ready.value,
      bytes: datagram.bytes.length,
      describe: (idempotent) => describeDatagram(incoming, idempotent),
      acknowledge: () => acknowledge(incoming, false),
      settle: settleWith,
    });
  }

  function prepareOrLog(request: Request, incoming: Incoming) {
    try {
      return prepare(request, incoming);
    } catch (error) {
      logMistake(incoming, request.name, error);
      return internalError(error);
    }
  }

  /** Finds the handler of a request, and checks that it may run with these parameters. */
  function prepare({ name, params }: Request, { format, datagram, caller }: Incoming) {
    const handler = registry.get(name);
    const refusal = authorize(handler, caller);
    if (refusal !== undefined) return { error: refusal };
    if (handler === undefined) {
      const message = `there is no command ${utf8Head(name, MAX_NAME_LENGTH)}`;
      return { error: { code: 'unknown-command', message } } as const;
    }
    if (format === 'raw') return { handler, value: datagram.bytes };
    const bound = handler.bind(params, format === 'text');
    return 'error' in bound ? bound : { handler, value: bound.value };
  }

  function settle(
    exchange: Exchange,
    id: Command['id'],
    name: string | undefined,
    wantsReply: boolean,
    reply: Reply,
  ): void {
    const { incoming, life, results } = exchange;
    const result = lives.resultOf(life, id, name && utf8Head(name, MAX_NAME_LENGTH), reply);
    results.push({
      id: result.id,
      name: result.name,
      reply: result.reply,
      milliseconds: result.milliseconds,
      wantsReply,
    });
    if (results.length < incoming.message.entries.length) return;
    lives.finish(
      life,
      results,
      (answers) => encodeOrLog(incoming, answers),
      (bytes) => options.reply(bytes, incoming),
    );
  }

  function encodeOrLog(incoming: Incoming, results: readonly Answer[]): Uint8Array | undefined {
    try {
      return encode(incoming, results);
    } catch (error) {
      logMistake(incoming, results[0]?.name ?? '', error);
      return undefined;
    }
  }

  function logMistake({ peer }: Incoming, name: string, error: unknown): void {
    log.error({ name: utf8Head(name, MAX_NAME_LENGTH), peer, error: messageOf(error) }, 'internal error');
  }

  /** Encodes the same reply to all commands of a message, as a repeat gets it; entries with errors keep theirs. */
  function encodeForAll(
    { message, format, maxBytes }: Pick<Incoming, 'message' | 'format' | 'maxBytes'>,
    reply: Reply,
  ): Uint8Array | undefined {
    const answers = message.entries
      .filter((entry) => wantsReply(idOf(entry), format))
      .map((entry) => ({ id: idOf(entry), reply: 'error' in entry ? entry : reply }));
    return encodeAnswers(format, answers, message.batch, maxBytes());
  }

  return { take, encodeForAll };
}

/** Replaces each reply that cannot be written by an error; all of them, where only together they cannot be written. */
function encode({ format, message, maxBytes }: Incoming, results: readonly Answer[]): Uint8Array | undefined {
  const limit = maxBytes();
  const answered = results.filter((result) => result.wantsReply);
  try {
    return encodeAnswers(format, answered, message.batch, limit);
  } catch {
    for (const result of answered) result.reply = encodableReply(format, result, limit);
  }
  try {
    return encodeAnswers(format, answered, message.batch, limit);
  } catch (error) {
    for (const result of answered) result.reply = encodingError(error);
    return encodeAnswers(format, answered, message.batch, limit);
  }
}

const idOf = (entry: Entry) => ('request' in entry ? entry.request.id : entry.id);
const hasId = (entry: Entry) => idOf(entry) !== undefined;
const wantsReply = (id: Command['id'], format: Format) => id !== undefined || format === 'text' || format === 'raw';

const STILL_RUNNING: Reply<'running'> = { error: { code: 'running', message: 'it is still running' } };
