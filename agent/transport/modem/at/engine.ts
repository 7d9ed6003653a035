import { createDialogue, type Dialogue } from './dialogue/dialogue.js';
import type { Grammar } from './grammar.js';
import type { ModemEvent } from './modem-event.js';
import { PAYLOAD_IDLE_MS } from './parser.js';
import type { AtOutcome } from './request.js';
import { ModemFaultError, type Script, type ScriptStep } from './script.js';
import { idleTransaction, stepTransaction, type TransactionEffect, type TransactionState } from './transaction.js';

/** What the owner of the engine has to do. */
export type EngineEffect =
  /** Write these bytes to the port, in one write. */
  | { readonly type: 'write'; readonly bytes: Buffer }
  /** An event of the modem. */
  | { readonly type: 'event'; readonly event: ModemEvent }
  /** A script has ended and the next one was started: call its callback. */
  | { readonly type: 'ended'; readonly run: () => void };

/** When a script runs: before or after those that wait, or as soon as no other script has a command in flight. */
export type QueuePosition = 'front' | 'back' | 'during-pause';

interface Job {
  readonly advance: (outcome: AtOutcome | undefined) => ScriptStep | undefined;
  readonly fail: (error: unknown) => void;
}

/**
 * Runs scripts on a modem, one after the other. It has no port and no clock: it is given bytes and the time, and
 * returns effects in order. It lives as long as its port is open.
 */
export type Engine = ReturnType<typeof createEngine>;

/** @param slowness factor by which a payload may pause longer: more than 1 on a slow line */
export function createEngine(grammar: Grammar, slowness = 1) {
  let dialogue: Dialogue = createDialogue(grammar);
  let transaction: TransactionState = idleTransaction;
  const waiting: Job[] = [];
  /** Scripts that may run while another one pauses. */
  const duringPauses: Job[] = [];
  let job: Job | undefined;
  let pausedUntil: number | undefined;
  /** The script that pauses while another one runs. */
  let held: { readonly job: Job; readonly until: number } | undefined;
  let lastByteAt = Number.NEGATIVE_INFINITY;
  /** Number of commands written. */
  let commands = 0;
  let effects: EngineEffect[] = [];

  function handle(events: readonly ModemEvent[], now: number): void {
    const before = commands;
    for (const event of events) {
      effects.push({ type: 'event', event });
      // What was received before a command was written is no answer to it.
      if (commands === before) feed({ type: 'event', event }, now);
    }
  }

  function feed(input: Parameters<typeof stepTransaction>[1], now: number): void {
    const next = stepTransaction(transaction, input, now);
    transaction = next.state;
    for (const effect of next.effects) carryOut(effect, now);
  }

  function carryOut(effect: TransactionEffect, now: number): void {
    switch (effect.type) {
      case 'command':
        commands++;
        write(Buffer.from(`${effect.command}\r`, 'latin1'));
        handle(dialogue.command(effect.command), now);
        break;
      case 'payload':
        write(effect.bytes);
        handle(dialogue.payload(effect.bytes), now);
        break;
      case 'unstick':
        write(Buffer.from('\r'));
        break;
      case 'pad':
        write(Buffer.from(`${'\0'.repeat(effect.bytes)}\r`));
        break;
      case 'abandon-command':
        handle(dialogue.abandonCommand(), now);
        break;
      case 'end':
        advance(effect.outcome, now);
    }
  }

  const write = (bytes: Buffer) => effects.push({ type: 'write', bytes });

  function advance(outcome: AtOutcome | undefined, now: number): void {
    const ask = job?.advance(outcome);
    if (ask === undefined) {
      job = undefined;
      beginNext(now);
    } else if ('waitMs' in ask) {
      pausedUntil = now + ask.waitMs;
      beginDuringPause(now);
    } else {
      feed({ type: 'run', request: ask }, now);
    }
  }

  function beginNext(now: number): void {
    if (job !== undefined) return;
    const next = duringPauses.shift();
    if (next === undefined && held !== undefined) {
      pausedUntil = held.until;
      job = held.job;
      held = undefined;
      return;
    }
    job = next ?? waiting.shift();
    if (job !== undefined) advance(undefined, now);
  }

  /** Starts a waiting script while the current one pauses. */
  function beginDuringPause(now: number): void {
    if (job === undefined || pausedUntil === undefined || held !== undefined || duringPauses.length === 0) return;
    held = { job, until: pausedUntil };
    pausedUntil = undefined;
    job = undefined;
    beginNext(now);
  }

  function takeEffects(): EngineEffect[] {
    const all = effects;
    effects = [];
    return all;
  }

  return {
    /** Bytes were received from the port. */
    receive(bytes: Buffer, now: number): EngineEffect[] {
      lastByteAt = now;
      feed({ type: 'bytes' }, now);
      handle(dialogue.receive(bytes), now);
      return takeEffects();
    },

    /** To be called at {@link wakeAt}, or more often. */
    tick(now: number): EngineEffect[] {
      if (dialogue.inPayload() && now - lastByteAt >= PAYLOAD_IDLE_MS * slowness)
        handle(dialogue.abandonIncomplete(), now);
      feed({ type: 'tick' }, now);
      if (pausedUntil !== undefined && now >= pausedUntil) {
        pausedUntil = undefined;
        advance({ ok: true, lines: [], payloads: 0 }, now);
      }
      return takeEffects();
    },

    /** Returns when the next `tick` is due. */
    wakeAt(): number {
      const payloadAt = dialogue.inPayload() ? lastByteAt + PAYLOAD_IDLE_MS * slowness : Number.POSITIVE_INFINITY;
      return Math.min(transaction.dueAt, pausedUntil ?? Number.POSITIVE_INFINITY, payloadAt);
    },

    /**
     * Queues a script. When it ends, `done` or `failed` is in an `ended` effect; neither is called from within.
     */
    run<T>(
      script: Script<T>,
      done: (value: T) => void,
      failed: (error: unknown) => void,
      now: number,
      position: QueuePosition = 'back',
    ): EngineEffect[] {
      const end = (run: () => void) => void effects.push({ type: 'ended', run });
      const added: Job = {
        advance(outcome) {
          try {
            const next = outcome === undefined ? script.next(NOTHING) : script.next(outcome);
            if (next.done !== true) return next.value;
            end(() => done(next.value));
          } catch (error) {
            end(() => failed(error));
          }
          return undefined;
        },
        fail: (error) => end(() => failed(error)),
      };
      if (position === 'front') waiting.unshift(added);
      else if (position === 'during-pause') duringPauses.push(added);
      else waiting.push(added);
      beginNext(now);
      beginDuringPause(now);
      return takeEffects();
    },

    /** Sets the grammar of the modem once its model is known. Only between scripts. */
    setGrammar(next: Grammar): void {
      dialogue = createDialogue(next);
    },

    /** The port was lost: fails the current script and those that wait. */
    close(now: number): EngineEffect[] {
      const left = [...duringPauses.splice(0), ...waiting.splice(0)];
      if (held !== undefined) left.unshift(held.job);
      held = undefined;
      handle(dialogue.end(), now);
      const paused = pausedUntil !== undefined;
      pausedUntil = undefined;
      if (paused) {
        job?.fail(new ModemFaultError('closed', 'the serial port was lost'));
        job = undefined;
      }
      feed({ type: 'closed' }, now);
      for (const one of left) one.fail(new ModemFaultError('closed', 'the serial port was lost'));
      return takeEffects();
    },

    /** Whether no script runs or waits. */
    isIdle: (): boolean => job === undefined,
    inPayload: (): boolean => dialogue.inPayload(),
  };
}

/** The argument of a script's first step, which ignores it. */
const NOTHING: AtOutcome = { ok: true, lines: [], payloads: 0 };
