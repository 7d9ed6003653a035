import type { Parameters } from '../../shared/coap/parameters.js';
import type { ErrorCode } from '../../shared/errors.js';
import type { BlockProgress, Conversation, Sign } from './conversation.js';
import { type Ending, ending, type RequestError } from './outcome.js';

/**
 * Most times that one datagram is posted. The parameters' retransmissions come first, each after twice the time of
 * the one before; those beyond come after the first time again, so that even the last is sent while the device is
 * sure to know the datagram. With a fifth of all datagrams lost in both directions, 99 in 100 commands get through.
 */
export const MAX_ATTEMPTS = 5;
/** Most failed commands that are remembered while it is not known yet which of them are this request's. */
export const MAX_STRANGERS = 100;

/** What does not change during a request; all times in milliseconds of one clock. */
export interface Settings {
  readonly parameters: Parameters;
  /** From 1 to the parameters' ackRandomFactor. */
  readonly factor: number;
  /** Longest wait for the next sign of progress: an answer, or a block. */
  readonly timeout: number;
  /** When the device must no longer begin with the command. */
  readonly deadlineAt: number;
}

/** Why a datagram did not leave. */
export type Failure = Omit<RequestError, 'remedy'>;

/** One time that the present datagram was posted. */
interface Post {
  readonly number: number;
  /** Set when the API has taken it. */
  readonly sid?: string;
  /** Set while the API has not answered. */
  readonly pending?: true;
  /** Set when it certainly did not leave. */
  readonly failure?: Failure;
}

export interface State {
  readonly conversation: Conversation;
  /** Of the present datagram. */
  readonly posts: readonly Post[];
  /** Posts of all datagrams. */
  readonly posted: number;
  /** Most posts of one datagram. */
  readonly attempts: number;
  readonly accepted: boolean;
  readonly repeatAt: number;
  /** When it is too late for a repeat: the device may have forgotten the datagram on its arrival. */
  readonly lastRepeatAt: number;
  readonly expiresAt: number;
  /** What the network failed to send of late, by SID: it can be heard of before the API says which SID is ours. */
  readonly strangers: ReadonlyMap<string, Failure>;
  readonly ended: boolean;
}

export type Input =
  | { readonly type: 'tick' }
  | { readonly type: 'posted'; readonly number: number; readonly sid: string }
  /** The datagram did not leave. */
  | { readonly type: 'refused'; readonly number: number; readonly failure: Failure }
  /** Nobody knows whether it left. */
  | { readonly type: 'unknown-fate'; readonly number: number }
  /** A from_sim command came. */
  | { readonly type: 'heard'; readonly bytes: Buffer }
  /** A to_sim command has the status `failed`. */
  | { readonly type: 'failed'; readonly sid: string; readonly failure: Failure }
  | { readonly type: 'abort' };

export type Effect =
  | { readonly type: 'post'; readonly number: number; readonly bytes: Buffer }
  /** To be sent once; what becomes of it does not matter. */
  | { readonly type: 'acknowledge'; readonly bytes: Buffer }
  | { readonly type: 'sent'; readonly attempt: number }
  | { readonly type: 'accepted' }
  | { readonly type: 'block'; readonly block: BlockProgress }
  | { readonly type: 'end'; readonly ending: Ending };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Begins a request: its first datagram is to be posted. */
export function begin(settings: Settings, conversation: Conversation, now: number): Step {
  const blank = { posted: 0, attempts: 0, accepted: false, strangers: new Map<string, Failure>(), ended: false };
  return send(settings, blank, conversation, now);
}

/** When the next `tick` is due. */
export const wakeAt = ({ repeatAt, expiresAt }: State): number => Math.min(repeatAt, expiresAt);

/** What an input leads to. Nothing does once the request has ended. */
export function step(settings: Settings, state: State, input: Input, now: number): Step {
  if (state.ended) return { state, effects: [] };
  switch (input.type) {
    case 'tick':
      return tick(settings, state, now);
    case 'posted':
      return posted(settings, state, input, now);
    case 'refused':
      return settle(settings, state, input.number, { failure: input.failure }, now);
    case 'unknown-fate':
      return settle(settings, state, input.number, {}, now);
    case 'heard':
      return heard(settings, state, state.conversation.hear(input.bytes, state.posts.length > 1), now);
    case 'failed':
      return failed(state, input.sid, input.failure);
    case 'abort':
      return end(state, giveUp(state, 'given-up', 'the caller stopped waiting'));
  }
}

type Carried = Pick<State, 'posted' | 'attempts' | 'accepted' | 'strangers' | 'ended'>;

/** Posts the first copy of a datagram. */
function send({ parameters, timeout }: Settings, before: Carried, conversation: Conversation, now: number): Step {
  return post(
    {
      ...before,
      conversation,
      posts: [],
      repeatAt: Number.POSITIVE_INFINITY,
      lastRepeatAt: now + parameters.exchangeLifetime - parameters.maxLatency,
      expiresAt: now + timeout,
    },
    [],
  );
}

function post(state: State, effects: readonly Effect[]): Step {
  const number = state.posted + 1;
  const posts = [...state.posts, { number, pending: true } as const];
  const attempts = Math.max(state.attempts, posts.length);
  // The next copy waits until it is known what became of this one.
  const next = { ...state, posts, posted: number, attempts, repeatAt: Number.POSITIVE_INFINITY };
  return { state: next, effects: [...effects, { type: 'post', number, bytes: state.conversation.bytes }] };
}

function tick({ deadlineAt }: Settings, state: State, now: number): Step {
  if (now >= state.expiresAt) return end(state, giveUp(state, 'no-answer', 'nothing came back in time'));
  if (now < state.repeatAt) return { state, effects: [] };
  // A device that has the command answers from memory; one that has not must not get it this late.
  const known = state.accepted || state.conversation.partial !== undefined;
  if (now > state.lastRepeatAt || (now >= deadlineAt && !known)) {
    return { state: { ...state, repeatAt: Number.POSITIVE_INFINITY }, effects: [] };
  }
  return post(state, []);
}

function posted(settings: Settings, state: State, { number, sid }: { number: number; sid: string }, now: number): Step {
  const failure = state.strangers.get(sid);
  const settled = settle(settings, state, number, failure === undefined ? { sid } : { failure }, now);
  const attempt = state.posts.findIndex((one) => one.number === number) + 1;
  return attempt === 0 ? settled : { ...settled, effects: [{ type: 'sent', attempt }, ...settled.effects] };
}

/** The API's answer, or its failing, to one post; a post of an earlier datagram is of no interest any more. */
function settle(settings: Settings, state: State, number: number, fate: Omit<Post, 'number'>, now: number): Step {
  if (!state.posts.some((one) => one.number === number)) return { state, effects: [] };
  const posts = state.posts.map((one) => (one.number === number ? { number, ...fate } : one));
  const repeatAt = now + waitAfter(settings, posts.length);
  return unlessNothingLeft({ ...state, posts, repeatAt, strangers: new Map() });
}

function failed(state: State, sid: string, failure: Failure): Step {
  if (state.posts.some((one) => one.sid === sid)) {
    const posts = state.posts.map((one) => (one.sid === sid ? { number: one.number, failure } : one));
    return unlessNothingLeft({ ...state, posts });
  }
  const waiting = state.posts.some(({ pending }) => pending === true) && state.strangers.size < MAX_STRANGERS;
  return { state: waiting ? { ...state, strangers: new Map(state.strangers).set(sid, failure) } : state, effects: [] };
}

/** Ends the request when no copy of the command, or of one of its blocks, can have reached the device. */
function unlessNothingLeft(state: State): Step {
  const failure = failureOfAll(state);
  if (failure === undefined || state.conversation.partial !== undefined) return { state, effects: [] };
  return end(state, notSent(failure));
}

/** Milliseconds from the API's answer to a datagram's nth post to the next (RFC 7252 §4.2). */
export function waitAfter({ parameters, factor }: Pick<Settings, 'parameters' | 'factor'>, posts: number): number {
  if (posts >= MAX_ATTEMPTS) return Number.POSITIVE_INFINITY;
  const doublings = posts <= parameters.maxRetransmit ? posts - 1 : 0;
  return parameters.ackTimeout * factor * 2 ** doublings;
}

function heard(settings: Settings, state: State, sign: Sign, now: number): Step {
  switch (sign?.type) {
    case undefined:
      return { state, effects: [] };
    case 'accepted':
      return { state: { ...state, accepted: true }, effects: state.accepted ? [] : [{ type: 'accepted' }] };
    case 'next': {
      const next = send(settings, state, sign.next, now);
      return { ...next, effects: [...acknowledgement(sign), { type: 'block', block: sign.block }, ...next.effects] };
    }
    case 'end': {
      const last = end(state, sign.ending);
      return { ...last, effects: [...acknowledgement(sign), ...last.effects] };
    }
  }
}

const acknowledgement = ({ acknowledge }: { readonly acknowledge?: Buffer }): Effect[] =>
  acknowledge === undefined ? [] : [{ type: 'acknowledge', bytes: acknowledge }];

const end = (state: State, how: Ending): Step => ({
  state: { ...state, ended: true, repeatAt: Number.POSITIVE_INFINITY, expiresAt: Number.POSITIVE_INFINITY },
  effects: [{ type: 'end', ending: how }],
});

/** The truth about a command of which nothing more will be heard. */
function giveUp(state: State, code: ErrorCode, message: string): Ending {
  const { conversation } = state;
  if (conversation.partial !== undefined) return conversation.partial();
  const failure = failureOfAll(state);
  if (failure !== undefined) return notSent(failure);
  if (!conversation.canRun) return notSent({ code, message: `${message}; the command was not sent whole` });
  return ending('no-answer', code, state.accepted ? `${message}; the device had accepted the command` : message);
}

/** Why the last post failed, when all of them did. */
function failureOfAll({ posts }: State): Failure | undefined {
  return posts.every(({ failure }) => failure !== undefined) ? posts.at(-1)?.failure : undefined;
}

const notSent = ({ code, message, ...details }: Failure): Ending => ending('not-sent', code, message, details);
