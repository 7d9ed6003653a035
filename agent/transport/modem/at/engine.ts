import { createDialogue, type Dialogue } from './dialogue/dialogue.js';
import type { Grammar } from './grammar.js';
import type { ModemEvent } from './modem-event.js';
import { PAYLOAD_IDLE_MS } from './parser.js';
import type { Outcome } from './request.js';
import { type Ask, ModemFaultError, type Script } from './script.js';
import { idle, type State, step, type Effect as TransactionEffect } from './transaction.js';

/** What the port is to do, and what is to be handed up. */
export type Effect =
  /** In one write. */
  | { readonly type: 'write'; readonly bytes: Buffer }
  /** Understood of what came. */
  | { readonly type: 'event'; readonly event: ModemEvent }
  /** A script has ended; what follows it has been begun. */
  | { readonly type: 'ended'; readonly run: () => void };

/** When a script runs: see {@link Engine}'s `run`. */
export type When = 'first' | 'last' | 'aside';

interface Job {
  readonly advance: (outcome: Outcome | undefined) => Ask | undefined;
  readonly fail: (error: unknown) => void;
}

/**
 * Runs scripts on a modem, one after the other. It has no port and no clock: bytes and the time are handed in, and
 * what is to be done is handed out, in order. It lives as long as its port is open.
 */
export type Engine = ReturnType<typeof createEngine>;

/** @param slowness how much longer a payload may pause: more than 1 on a slow line */
export function createEngine(grammar: Grammar, slowness = 1) {
  let dialogue: Dialogue = createDialogue(grammar);
  let transaction: State = idle;
  const waiting: Job[] = [];
  /** They may run while another lets time pass. */
  const asides: Job[] = [];
  let job: Job | undefined;
  let pausedUntil: number | undefined;
  /** What has let time pass, while an aside runs. */
  let held: { readonly job: Job; readonly until: number } | undefined;
  let lastByteAt = Number.NEGATIVE_INFINITY;
  /** How many have been written. */
  let commands = 0;
  let effects: Effect[] = [];

  function hand(events: readonly ModemEvent[], now: number): void {
    const before = commands;
    for (const event of events) {
      effects.push({ type: 'event', event });
      // What came before a command was written is no answer to it.
      if (commands === before) feed({ type: 'event', event }, now);
    }
  }

  function feed(input: Parameters<typeof step>[1], now: number): void {
    const next = step(transaction, input, now);
    transaction = next.state;
    for (const effect of next.effects) carryOut(effect, now);
  }

  function carryOut(effect: TransactionEffect, now: number): void {
    switch (effect.type) {
      case 'command':
        commands++;
        write(Buffer.from(`${effect.command}\r`, 'latin1'));
        hand(dialogue.command(effect.command), now);
        break;
      case 'payload':
        write(effect.bytes);
        hand(dialogue.payload(effect.bytes), now);
        break;
      case 'unstick':
        write(Buffer.from('\r'));
        break;
      case 'pad':
        write(Buffer.from(`${'\0'.repeat(effect.bytes)}\r`));
        break;
      case 'abandon-command':
        hand(dialogue.abandonCommand(), now);
        break;
      case 'end':
        advance(effect.outcome, now);
    }
  }

  const write = (bytes: Buffer) => effects.push({ type: 'write', bytes });

  function advance(outcome: Outcome | undefined, now: number): void {
    const ask = job?.advance(outcome);
    if (ask === undefined) {
      job = undefined;
      beginNext(now);
    } else if ('waitMs' in ask) {
      pausedUntil = now + ask.waitMs;
      beginAside(now);
    } else {
      feed({ type: 'run', request: ask }, now);
    }
  }

  function beginNext(now: number): void {
    if (job !== undefined) return;
    const next = asides.shift();
    if (next === undefined && held !== undefined) {
      pausedUntil = held.until;
      job = held.job;
      held = undefined;
      return;
    }
    job = next ?? waiting.shift();
    if (job !== undefined) advance(undefined, now);
  }

  /** While the script that runs only lets time pass. */
  function beginAside(now: number): void {
    if (job === undefined || pausedUntil === undefined || held !== undefined || asides.length === 0) return;
    held = { job, until: pausedUntil };
    pausedUntil = undefined;
    job = undefined;
    beginNext(now);
  }

  function handedOut(): Effect[] {
    const all = effects;
    effects = [];
    return all;
  }

  return {
    /** Bytes came from the port. */
    receive(bytes: Buffer, now: number): Effect[] {
      lastByteAt = now;
      feed({ type: 'bytes' }, now);
      hand(dialogue.receive(bytes), now);
      return handedOut();
    },

    /** Time has passed; to be called at {@link wakeAt}, or more often. */
    tick(now: number): Effect[] {
      if (dialogue.inPayload() && now - lastByteAt >= PAYLOAD_IDLE_MS * slowness)
        hand(dialogue.abandonIncomplete(), now);
      feed({ type: 'tick' }, now);
      if (pausedUntil !== undefined && now >= pausedUntil) {
        pausedUntil = undefined;
        advance({ ok: true, lines: [], payloads: 0 }, now);
      }
      return handedOut();
    },

    /** When the next `tick` is due. */
    wakeAt(): number {
      const payloadAt = dialogue.inPayload() ? lastByteAt + PAYLOAD_IDLE_MS * slowness : Number.POSITIVE_INFINITY;
      return Math.min(transaction.dueAt, pausedUntil ?? Number.POSITIVE_INFINITY, payloadAt);
    },

    /**
     * Queues a script. `done` and `failed` are handed out to be run when it ends, never called from within.
     *
     * @param when before those that wait, after them, or as soon as nothing else is said to the modem
     */
    run<T>(
      script: Script<T>,
      done: (value: T) => void,
      failed: (error: unknown) => void,
      now: number,
      when: When = 'last',
    ): Effect[] {
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
      if (when === 'first') waiting.unshift(added);
      else if (when === 'aside') asides.push(added);
      else waiting.push(added);
      beginNext(now);
      beginAside(now);
      return handedOut();
    },

    /** The modem is known now, or it is another: its own language from here on. Only between scripts. */
    speak(next: Grammar): void {
      dialogue = createDialogue(next);
    },

    /** The port is gone: the script that runs fails, and so do those that wait. */
    close(now: number): Effect[] {
      const left = [...asides.splice(0), ...waiting.splice(0)];
      if (held !== undefined) left.unshift(held.job);
      held = undefined;
      hand(dialogue.end(), now);
      const paused = pausedUntil !== undefined;
      pausedUntil = undefined;
      if (paused) {
        job?.fail(new ModemFaultError('closed', 'the port is gone'));
        job = undefined;
      }
      feed({ type: 'closed' }, now);
      for (const one of left) one.fail(new ModemFaultError('closed', 'the port is gone'));
      return handedOut();
    },

    /** Whether nothing runs and nothing waits. */
    isIdle: (): boolean => job === undefined,
    inPayload: (): boolean => dialogue.inPayload(),
  };
}

/** What a script's first step is given; nobody reads it. */
const NOTHING: Outcome = { ok: true, lines: [], payloads: 0 };
