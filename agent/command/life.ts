import { randomBytes } from 'node:crypto';
import { parametersOf } from '../../shared/coap/parameters.js';
import type { Command, CommandFormat, Reply } from '../../shared/command.js';
import { messageOf } from '../../shared/errors.js';
import type { Log } from '../base/log.js';
import type { Handler } from '../handlers/handler.js';
import type { Authorize, Caller } from '../security/authorize.js';
import type { ProtectedOrigin } from '../security/protection.js';
import type { Datagram } from '../transport/transport.js';
import type { DuplicateTable } from './dedup/duplicate-table.js';
import { type DatagramKey, type DedupPolicy, digestOf, type SeenRequest } from './dedup/entry.js';
import { type JournalCommand, type JournalEntry, KEY_BYTES } from './journal/entry.js';
import {
  acknowledgeBeforeStart,
  createJournalHandle,
  endingOf,
  type JournalHandle,
  journalLate,
  LOST,
  outcomeAfterRestart,
} from './journal/handle.js';
import type { Journal, Then } from './journal/types.js';
import type { SubmitCommand } from './runner/deadline-gate.js';
import { type CommandResult, internalError } from './runner/result.js';
import type { Stats } from './stats/stats.js';

export interface LifeOptions {
  readonly authorize: Authorize;
  readonly submit: SubmitCommand;
  readonly duplicates: DuplicateTable;
  /** Undefined where commands are not remembered over a restart. */
  readonly journal: Journal | undefined;
  /** Returns the identity of the journal, as a reply carries it. */
  readonly identity?: (() => string | undefined) | undefined;
  readonly stats: Stats;
  readonly log: Log;
}

/** A datagram with commands, and where they come from. */
export interface CommandOrigin {
  readonly datagram: Datagram;
  readonly peer: string;
  readonly format: CommandFormat;
  readonly caller: Caller;
  /** For a protected request: what is needed to answer it after a restart. */
  readonly protection?: ProtectedOrigin | undefined;
  /** The journal's entry, when an earlier run of the agent accepted the datagram. */
  readonly resumed?: JournalEntry | undefined;
}

/** The part of a journal entry that depends on the format. */
export type JournalDetails = Pick<JournalCommand, 'id' | 'name' | 'request' | 'idempotent' | 'endsWith'> & {
  /** Unix seconds, of the first command that expires. */
  readonly deadline: number | undefined;
};

export interface LifeSetup {
  /** Undefined when repeats of the datagram cannot be recognised. */
  readonly key: DatagramKey | undefined;
  readonly policy: DedupPolicy;
  /** Its entry in the duplicate table, if it has one. */
  readonly seen: SeenRequest | undefined;
  /** Whether the journal may have known it, and was lost: its commands are interrupted, and do not run. */
  readonly isLost?: boolean;
}

/** A command that is ready to run. */
export interface ReadyCommand {
  readonly command: Command;
  readonly handler: Handler;
  /** Checked parameters. */
  readonly params: unknown;
  /** Size of its request. */
  readonly bytes: number;
  /** Returns the details for the journal, if the command is journalled. */
  readonly describe: (idempotent: boolean) => JournalDetails;
  /** Tells the sender that the reply comes after the agent has restarted. */
  readonly acknowledge: () => void;
  /** Called exactly once, also when the agent itself makes a mistake. */
  readonly settle: (reply: Reply) => void;
}

/** One datagram's commands on their way; a plain record, as one is made for each datagram. */
export interface Life {
  readonly origin: CommandOrigin;
  readonly setup: LifeSetup;
  /** The datagram's journal entry, once it has one. */
  handle: JournalHandle | undefined;
  finished: boolean;
}

/** Makes the life cycle of commands, whatever format they come in: remember, journal, run, settle, finish, send. */
export function createLives({ authorize, submit, duplicates, journal, identity, stats, log }: LifeOptions) {
  function open(origin: CommandOrigin, setup: LifeSetup): Life {
    const { resumed } = origin;
    const handle = journal && resumed && createJournalHandle(journal, resumed.command, true);
    return { origin, setup, handle, finished: false };
  }

  /** Journals a command as its handler needs it, runs it, and settles it. */
  function run(life: Life, { command, handler, params, bytes, describe, acknowledge, settle }: ReadyCommand): void {
    const settleOnce = once(settle);
    try {
      if (!keep(life)) {
        settleOnce(TABLE_FULL);
        return;
      }
      if (life.setup.policy === 'track') life.handle ??= createHandle(life, describe(false));
      const { handle } = life;
      if (life.setup.isLost === true) {
        settleOnce(LOST);
        return;
      }
      submit({
        command,
        holder: life.origin.datagram.source.address,
        handler,
        params,
        bytes,
        startGate: handler.endsWith === undefined ? handle : acknowledgeBeforeStart(handle, acknowledge),
        // Asked again when it starts: a reload may have forbidden it while it waited.
        mayRun: () => authorize(handler, life.origin.caller),
        done: settleOnce,
        slow: handler.safe || handle !== undefined ? undefined : () => journalSlow(life, describe),
      });
    } catch (error) {
      logMistake(life, command.name, error);
      settleOnce(internalError(error));
    }
  }

  /** Keeps a command that must not run twice in the duplicate table. @returns false when there is no room */
  function keep({ setup: { policy, seen }, origin: { datagram } }: Life): boolean {
    return (
      policy !== 'track' || seen === undefined || duplicates.keep(seen, datagram.source.address, performance.now())
    );
  }

  /** An idempotent command needs no entry before it runs; one that takes long gets it, to run again after a crash. */
  function journalSlow(life: Life, describe: ReadyCommand['describe']): void {
    if (life.handle !== undefined) return;
    life.handle = createHandle(life, describe(true));
    if (life.handle !== undefined) journalLate(life.handle);
  }

  /** Returns the result of one command, as it counts after a restart. */
  function resultOf(
    { origin: { resumed, datagram } }: Life,
    id: Command['id'],
    name: string | undefined,
    reply: Reply,
  ): CommandResult {
    const counted = resumed === undefined ? reply : outcomeAfterRestart(resumed, reply);
    return { id, name, reply: counted, milliseconds: millisecondsSince(datagram.receivedAt) };
  }

  /**
   * Finishes the datagram: all its commands are settled. Journals their end, keeps the reply for repeats, writes a log
   * line for each command, and then has the reply sent.
   *
   * @param encode encodes the reply, if there is one; again where a refusal could not be journalled, which it then says
   */
  function finish<Result extends CommandResult>(
    life: Life,
    results: readonly Result[],
    encode: (results: readonly Result[]) => Uint8Array | undefined,
    send: (reply: Uint8Array) => void,
  ): void {
    const { handle, setup, origin } = life;
    const reply = encode(results);
    const isFinal = results.some(mustBeFinal);
    const complete = (isRecorded: boolean) => {
      const unrecorded = isFinal && !isRecorded ? results.map(asUnrecorded) : undefined;
      const isOnDisk = isRecorded && setup.policy === 'track' && journal !== undefined && !runsAgain(origin);
      // What the journal has needs no other memory, and what could not be recorded may be tried again. A protected request
      // that is forgotten would be refused as a replay.
      const isTriedAgain = unrecorded !== undefined || results.every(isRefusedAgain);
      const isNeedless = isOnDisk || (isTriedAgain && origin.protection === undefined);
      if (isNeedless && setup.seen?.share !== undefined) duplicates.forget(setup.seen);
      completeOnce(life, unrecorded ?? results, unrecorded === undefined ? reply : encode(unrecorded), send);
    };
    try {
      if (handle === undefined) complete(journal === undefined && setup.seen?.share !== undefined);
      else handle.finish(endingOf(results, reply), isFinal, (error) => complete(error === undefined));
    } catch (error) {
      logMistake(life, results[0]?.name, error);
      // Otherwise the entry would stay `running`, and repeats would wait for ever.
      complete(false);
    }
  }

  function completeOnce(
    life: Life,
    results: readonly CommandResult[],
    reply: Uint8Array | undefined,
    send: (reply: Uint8Array) => void,
  ): void {
    if (life.finished) return;
    life.finished = true;
    const { origin, setup, handle } = life;
    const { datagram, peer, format, resumed } = origin;
    if (setup.seen !== undefined) duplicates.finish(setup.seen, reply);
    const { transport, source } = datagram;
    for (const result of results) stats.ended({ peer, source, transport, format }, result);
    if (reply === undefined) return;
    send(reply);
    if (resumed !== undefined || results.length === 0) return;
    // Without a journal to wait for, the reply leaves when the last command has its result.
    const atResult = handle === undefined ? results.at(-1)?.milliseconds : undefined;
    stats.replied(atResult ?? millisecondsSince(datagram.receivedAt));
  }

  function logMistake({ origin: { peer } }: Life, name: string | undefined, error: unknown): void {
    log.error({ name, peer, error: messageOf(error) }, 'internal error');
  }

  function createHandle(
    { origin: { datagram, peer, format, protection }, setup: { key } }: Life,
    { id, name, request, idempotent, endsWith, deadline }: JournalDetails,
  ): JournalHandle | undefined {
    if (journal === undefined) return undefined;
    return createJournalHandle(journal, {
      key: key === undefined ? randomBytes(KEY_BYTES) : digestOf(key),
      peer,
      id,
      name,
      format,
      protection,
      request,
      source: datagram.source,
      port: datagram.port,
      transport: datagram.transport,
      idempotent,
      endsWith,
      deadline: deadline === undefined ? null : deadline * 1000,
      lifetimeMs: parametersOf(peer).exchangeLifetime,
    });
  }

  return {
    open,
    run,
    resultOf,
    finish,
    identity: (): string | undefined => identity?.(),
    /**
     * Calls `then` with what the journal knows of a datagram: at once, or when the disk has been read.
     *
     * @param key undefined when its repeats cannot be recognised
     */
    find(key: DatagramKey | undefined, peer: string, then: Then): void {
      if (journal === undefined) then(undefined);
      else journal.find(key && digestOf(key), peer, parametersOf(peer).exchangeLifetime, then);
    },
  };
}

/** A command that was resumed and may run twice is not looked up in the journal when it is repeated. */
const runsAgain = ({ resumed }: CommandOrigin): boolean => resumed?.command.idempotent === true;

/**
 * Tells whether a repeat of a command must get the same reply although the handler did not run, or not now: other
 * refusals are those that the same bytes get again.
 */
const mustBeFinal = ({ id, reply }: CommandResult): boolean =>
  id !== undefined && 'error' in reply && (reply.error.code === 'busy' || reply.error.code === 'interrupted');

/** Tells whether the same bytes are refused again when they come again: that need not be remembered. */
const isRefusedAgain = ({ reply }: CommandResult): boolean => 'error' in reply && reply.error.code === 'expired';

const TABLE_FULL: Reply = { error: { code: 'busy', message: 'the duplicate table is full' } };

const asUnrecorded = <Result extends CommandResult>(result: Result): Result =>
  'error' in result.reply && result.reply.error.code === 'busy'
    ? { ...result, reply: { ...result.reply, recorded: false } }
    : result;

export type Lives = ReturnType<typeof createLives>;

/** Returns the milliseconds since a moment of the monotonic clock, with three decimals. */
const millisecondsSince = (then: number): number => Math.round((performance.now() - then) * 1000) / 1000;

function once<T>(call: (value: T) => void): (value: T) => void {
  let called = false;
  return (value) => {
    if (called) return;
    called = true;
    call(value);
  };
}
