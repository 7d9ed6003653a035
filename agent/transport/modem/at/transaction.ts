import type { FinalResult, ModemEvent } from './modem-event.js';
import type { AtFailure, AtOutcome, AtRequest, SecondResult } from './request.js';

/** Silence after a time-out before the modem is probed. */
export const QUIET_MS = 300;
/** Longest wait for that silence. */
export const MAX_QUIET_MS = 5000;
/** Silence after a probe before the next command, so that late answers are drained. */
export const SETTLE_MS = 50;
/** Time after which a modem stops waiting for payload bytes by itself: EC200U and SIM7080 after 5 s. */
export const INPUT_TIMEOUT_MS = 5000;
export const PROBE_TIMEOUT_MS = 1000;
export const PROBES = 3;
/** Time-out of the prompt: a modem asks for a payload at once, only the sending may take longer. */
export const PROMPT_TIMEOUT_MS = 10_000;

/**
 * | phase | waits for |
 * |---|---|
 * | idle | a request |
 * | answer | the result, or the prompt |
 * | pause | the time between prompt and payload |
 * | second | the second result |
 * | busy | the delay before the next attempt |
 * | stuck | the modem to stop waiting for payload bytes |
 * | quiet | silence, before the modem is probed |
 * | probe | the answer to `AT` |
 * | settle | silence, before the next command |
 */
export interface TransactionState {
  readonly phase: 'idle' | 'answer' | 'pause' | 'second' | 'busy' | 'stuck' | 'quiet' | 'probe' | 'settle';
  readonly request?: AtRequest;
  /** When the phase times out. */
  readonly dueAt: number;
  readonly lastByteAt: number;
  /** Number of busy results. */
  readonly refusals: number;
  readonly repeated: boolean;
  readonly probes: number;
  readonly quietSince: number;
  /** Whether the payload was written. */
  readonly written: boolean;
  /** Payload bytes that the modem may still be waiting for: no command was accepted since. */
  readonly owed: number;
  /** Whether zeros were written in their place. */
  readonly padded: boolean;
  readonly found?: SecondResult;
  readonly result?: FinalResult;
  /** The failure of the request, once the modem is known to be ready again. */
  readonly verdict?: 'timeout' | 'aborted';
}

export type TransactionInput =
  /** Accepted only while idle. */
  | { readonly type: 'run'; readonly request: AtRequest }
  /** Bytes were received. */
  | { readonly type: 'bytes' }
  | { readonly type: 'event'; readonly event: ModemEvent }
  | { readonly type: 'tick' }
  | { readonly type: 'abort' }
  | { readonly type: 'closed' };

export type TransactionEffect =
  /** Write a command with a CR, and tell the dialogue. */
  | { readonly type: 'command'; readonly command: string }
  /** Write a payload in one piece, and tell the dialogue. */
  | { readonly type: 'payload'; readonly bytes: Buffer }
  /** Write a CR, which ends what the modem may be waiting for. */
  | { readonly type: 'unstick' }
  /** Write this many zeros and a CR. */
  | { readonly type: 'pad'; readonly bytes: number }
  /** Tell the dialogue that no command is in flight any more. */
  | { readonly type: 'abandon-command' }
  | { readonly type: 'end'; readonly outcome: AtOutcome };

export interface TransactionStep {
  readonly state: TransactionState;
  readonly effects: readonly TransactionEffect[];
}

const NEVER = Number.POSITIVE_INFINITY;

export const idleTransaction: TransactionState = {
  phase: 'idle',
  dueAt: NEVER,
  lastByteAt: Number.NEGATIVE_INFINITY,
  refusals: 0,
  repeated: false,
  probes: 0,
  quietSince: 0,
  written: false,
  owed: 0,
  padded: false,
};

/** Returns the next state and its effects; `now` is in milliseconds of the monotonic clock. */
export function stepTransaction(state: TransactionState, input: TransactionInput, now: number): TransactionStep {
  switch (input.type) {
    case 'run':
      return state.phase === 'idle'
        ? write({ ...idleTransaction, lastByteAt: state.lastByteAt, owed: state.owed }, input.request, now)
        : stay(state);
    case 'bytes':
      return stay({ ...state, lastByteAt: now });
    case 'event':
      return take(state, input.event, now);
    case 'tick':
      return now < state.dueAt ? stay(state) : tick(state, now);
    case 'abort':
      return state.request === undefined || state.verdict !== undefined ? stay(state) : recover(state, 'aborted', now);
    case 'closed':
      return state.request === undefined ? stay(idleTransaction) : fail(state, 'closed', 'the serial port was lost');
  }
}

const stay = (state: TransactionState): TransactionStep => ({ state, effects: [] });

function write(state: TransactionState, request: AtRequest, now: number): TransactionStep {
  const { found: _found, result: _result, ...rest } = state;
  const { payload, timeoutMs } = request;
  const dueAt = now + (payload === undefined ? timeoutMs : Math.min(timeoutMs, PROMPT_TIMEOUT_MS));
  return {
    state: { ...rest, phase: 'answer', request, dueAt, written: false, owed: payload?.length ?? state.owed },
    effects: [{ type: 'command', command: request.command }],
  };
}

function take(state: TransactionState, event: ModemEvent, now: number): TransactionStep {
  const { request, phase } = state;
  if (request === undefined) return stay(state);
  if (event.kind === 'urc' && event.loss === 'reset' && state.verdict === undefined) {
    return fail({ ...state, owed: 0 }, 'reset', event.line);
  }
  const mayBeIts = state.verdict === undefined && (request.payload === undefined || state.written);
  // Before the payload was written, a confirmation belongs to an earlier send.
  const found = mayBeIts ? (request.second?.find(event) ?? state.found) : undefined;
  const next = found === undefined ? state : { ...state, found };
  if (phase === 'second') return found === undefined ? stay(next) : conclude(next, found);
  if (event.kind === 'prompt' && phase === 'answer') return prompted(next, request, now);
  if (event.kind !== 'result' || event.command === undefined) return stay(next);
  if (phase === 'probe') return event.ok ? settle({ ...next, owed: 0 }, now) : stay(next);
  return phase === 'answer' || phase === 'pause' ? takeResult(next, request, event, now) : stay(next);
}

function prompted(state: TransactionState, request: AtRequest, now: number): TransactionStep {
  if (request.payload === undefined) return stay(state);
  if (request.payloadDelayMs === undefined) return writePayload(state, request, request.payload, now);
  return stay({ ...state, phase: 'pause', dueAt: now + request.payloadDelayMs });
}

const writePayload = (state: TransactionState, request: AtRequest, bytes: Buffer, now: number): TransactionStep => ({
  state: { ...state, phase: 'answer', written: true, dueAt: now + request.timeoutMs },
  effects: [{ type: 'payload', bytes }],
});

function takeResult(before: TransactionState, request: AtRequest, result: FinalResult, now: number): TransactionStep {
  // Before the payload was written, the ERROR may belong to another command, and the modem may still ask for the payload.
  const state = request.payload === undefined || before.written ? { ...before, owed: 0 } : before;
  if (!result.ok) {
    const { busy } = request;
    if (busy?.is(result) === true && state.refusals < busy.times) {
      return stay({ ...state, phase: 'busy', refusals: state.refusals + 1, dueAt: now + busy.waitMs });
    }
    return fail({ ...state, result }, 'refused', reasonOf(state, result));
  }
  const next = { ...state, result };
  if (request.second === undefined) return conclude(next, 'done');
  if (state.found !== undefined) return conclude(next, state.found);
  return stay({ ...next, phase: 'second', dueAt: now + request.second.timeoutMs });
}

/** Returns the most specific error of the modem: `+CIPERROR: 3` rather than the ERROR after it. */
function reasonOf({ found }: TransactionState, { lines, text }: FinalResult): string {
  if (found !== undefined && found !== 'done') return found.error;
  return lines.findLast((line) => line.includes('ERROR')) ?? text;
}

function tick(state: TransactionState, now: number): TransactionStep {
  const { request, phase } = state;
  if (request === undefined) return stay(state);
  switch (phase) {
    case 'answer':
      return recover(state, 'timeout', now);
    case 'pause':
      return request.payload === undefined ? stay(state) : writePayload(state, request, request.payload, now);
    case 'second':
      return request.second?.optional
        ? conclude(state, 'done')
        : fail(state, 'timeout', `no second result of ${request.command}`);
    case 'busy':
      return write(state, request, now);
    case 'stuck':
      return { state: quiet(state, now), effects: [{ type: 'unstick' }] };
    case 'quiet':
      return probeWhenQuiet(state, now);
    case 'probe':
      if (state.probes < PROBES) return stay(quiet(state, now));
      return state.owed > 0 ? pad(state, now) : fail(state, 'silent', 'the modem does not answer');
    case 'settle':
      return settled(state, request, now);
    case 'idle':
      return stay(state);
  }
}

/** Starts the recovery after a time-out or an abort, so that the next command does not get this one's result. */
function recover(state: TransactionState, verdict: 'timeout' | 'aborted', now: number): TransactionStep {
  const { request } = state;
  const next = { ...state, verdict };
  if (request?.once) return fail(next, verdict, `no answer to ${request.command}`, [{ type: 'abandon-command' }]);
  const giveUp: TransactionEffect[] = [{ type: 'abandon-command' }];
  if (state.owed === 0) return { state: quiet(next, now), effects: giveUp };
  // The modem may still be waiting for payload bytes, and would take ESC as one.
  return { state: { ...next, phase: 'stuck', dueAt: now + INPUT_TIMEOUT_MS }, effects: giveUp };
}

/**
 * Writes zeros in place of the payload that the modem still waits for, as it takes every command for a part of it. The
 * datagram that this sends is worthless; without it the modem would accept no more commands.
 */
const pad = (state: TransactionState, now: number): TransactionStep => ({
  state: quiet({ ...state, probes: 0, owed: 0, padded: true }, now),
  effects: [{ type: 'pad', bytes: state.owed }],
});

const quiet = (state: TransactionState, now: number): TransactionState => ({
  ...state,
  phase: 'quiet',
  quietSince: now,
  dueAt: Math.max(now, state.lastByteAt + QUIET_MS),
});

function probeWhenQuiet(state: TransactionState, now: number): TransactionStep {
  const isQuiet = now - state.lastByteAt >= QUIET_MS || now - state.quietSince >= MAX_QUIET_MS;
  if (!isQuiet)
    return stay({ ...state, dueAt: Math.min(state.lastByteAt + QUIET_MS, state.quietSince + MAX_QUIET_MS) });
  return {
    state: { ...state, phase: 'probe', probes: state.probes + 1, dueAt: now + PROBE_TIMEOUT_MS },
    effects: [{ type: 'command', command: 'AT' }],
  };
}

/** Drains the line after the probe: its OK may have been the late one of the previous command. */
const settle = (state: TransactionState, now: number): TransactionStep =>
  stay({ ...state, phase: 'settle', dueAt: now + SETTLE_MS });

function settled(state: TransactionState, request: AtRequest, now: number): TransactionStep {
  const isQuiet = now - state.lastByteAt >= SETTLE_MS || now - state.quietSince >= 2 * MAX_QUIET_MS;
  if (!isQuiet) return stay({ ...state, dueAt: state.lastByteAt + SETTLE_MS });
  const { verdict, ...rest } = state;
  // A send is never repeated: the datagram may have been sent.
  const mayRepeat =
    verdict === 'timeout' && !state.repeated && request.payload === undefined && request.unrepeated !== true;
  if (mayRepeat) return write({ ...rest, repeated: true, probes: 0 }, request, now);
  const padded = state.padded ? ': the modem waited for a payload and got zeros' : '';
  return fail(state, verdict ?? 'timeout', `no answer to ${request.command}${padded}`);
}

function conclude(state: TransactionState, found: SecondResult): TransactionStep {
  if (found !== 'done') return fail(state, 'refused', found.error);
  const { lines = [], payloads = 0 } = state.result ?? {};
  return end(state, { ok: true, lines, payloads });
}

function fail(
  state: TransactionState,
  failure: AtFailure,
  error: string,
  before: readonly TransactionEffect[] = [],
): TransactionStep {
  const effects: TransactionEffect[] = failure === 'silent' || failure === 'reset' ? [{ type: 'abandon-command' }] : [];
  const last = end(state, { ok: false, failure, error, lines: state.result?.lines ?? [] });
  return { ...last, effects: [...before, ...effects, ...last.effects] };
}

const end = ({ lastByteAt, owed }: TransactionState, outcome: AtOutcome): TransactionStep => ({
  state: { ...idleTransaction, lastByteAt, owed },
  effects: [{ type: 'end', outcome }],
});
