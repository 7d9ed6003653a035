import type { Parameters } from '../../shared/coap/parameters.js';
import type { ErrorCode } from '../../shared/errors.js';
import type { BlockProgress, Conversation, Interpretation } from './conversation.js';
import { makeEnding, type RequestEnding, type RequestError } from './result.js';

/**
 * Most times that one datagram is posted. The parameters' retransmissions come first, each after twice the wait of the
 * one before; those beyond come after the first wait again, so that even the last is sent while the device is sure to
 * remember the datagram. With a fifth of all datagrams lost in both directions, 99 in 100 commands get through.
 */
export const MAX_POSTS = 5;
/** Most failures of other SIDs that are kept until the API has returned the SID of this request's own post. */
export const MAX_UNMATCHED_FAILURES = 100;

/** RequestSettings of a request; all times in milliseconds of one monotonic clock. */
export interface RequestSettings {
  readonly parameters: Parameters;
  /** From 1 to the parameters' ackRandomFactor. */
  readonly factor: number;
  /** Longest wait for the next sign of progress: an answer, or a block. */
  readonly timeout: number;
  /** When the device may no longer start the command. */
  readonly deadlineAt: number;
}

/** Why a datagram was not sent. */
export type PostFailure = Omit<RequestError, 'remedy'>;

/** One post of the current datagram. */
interface Post {
  readonly number: number;
  /** Set when the API has accepted it. */
  readonly sid?: string;
  /** Set while the API has not answered. */
  readonly pending?: true;
  /** Set when it certainly was not sent. */
  readonly failure?: PostFailure;
}

export interface RequestState {
  readonly conversation: Conversation;
  /** Posts of the current datagram. */
  readonly posts: readonly Post[];
  /** Number of posts of all datagrams. */
  readonly posted: number;
  /** Most posts of one datagram. */
  readonly attempts: number;
  readonly accepted: boolean;
  /** Whether the device refused the current datagram without a record of it. */
  readonly unrecorded: boolean;
  readonly repeatAt: number;
  /** When it is too late for a repeat: the device may have forgotten the datagram on its arrival. */
  readonly lastRepeatAt: number;
  readonly expiresAt: number;
  /** Failures by SID that match no post yet: one can be reported before the API has returned the post's SID. */
  readonly unmatchedFailures: ReadonlyMap<string, PostFailure>;
  readonly ended: boolean;
}

export type RequestInput =
  | { readonly type: 'tick' }
  | { readonly type: 'posted'; readonly number: number; readonly sid: string }
  /** The datagram was not sent. */
  | { readonly type: 'refused'; readonly number: number; readonly failure: PostFailure }
  /** It is unknown whether the datagram was sent. */
  | { readonly type: 'unknown'; readonly number: number }
  /** A from_sim command arrived. */
  | { readonly type: 'received'; readonly bytes: Buffer }
  /** A to_sim command has the status `failed`. */
  | { readonly type: 'failed'; readonly sid: string; readonly failure: PostFailure }
  | { readonly type: 'abort' };

export type RequestEffect =
  | { readonly type: 'post'; readonly number: number; readonly conversation: Conversation }
  /** To be sent once; a failure is ignored. */
  | { readonly type: 'acknowledge'; readonly bytes: Buffer }
  | { readonly type: 'sent'; readonly attempt: number }
  | { readonly type: 'accepted' }
  | { readonly type: 'block'; readonly block: BlockProgress }
  | { readonly type: 'challenged' }
  | { readonly type: 'end'; readonly ending: RequestEnding };

export interface RequestStep {
  readonly state: RequestState;
  readonly effects: readonly RequestEffect[];
}

/** Starts a request: its first datagram is to be posted. */
export function start(settings: RequestSettings, conversation: Conversation, now: number): RequestStep {
  const blank = {
    posted: 0,
    attempts: 0,
    accepted: false,
    unmatchedFailures: new Map<string, PostFailure>(),
    ended: false,
  };
  return send(settings, blank, conversation, now);
}

/** When the next `tick` is due. */
export const nextTickAt = ({ repeatAt, expiresAt }: RequestState): number => Math.min(repeatAt, expiresAt);

/** Applies an input. After the end of the request it has no effect. */
export function step(settings: RequestSettings, state: RequestState, input: RequestInput, now: number): RequestStep {
  if (state.ended) return { state, effects: [] };
  switch (input.type) {
    case 'tick':
      return tick(settings, state, now);
    case 'posted':
      return posted(settings, state, input, now);
    case 'refused':
      return recordPost(settings, state, input.number, { failure: input.failure }, now);
    case 'unknown':
      return recordPost(settings, state, input.number, {}, now);
    case 'received':
      return received(settings, state, state.conversation.interpret(input.bytes, state.posts.length > 1), now);
    case 'failed':
      return failed(state, input.sid, input.failure);
    case 'abort':
      return end(state, timeoutOutcome(state, 'given-up', 'the caller stopped waiting'));
  }
}

/** The part of the state that lasts from one datagram to the next. */
type Carried = Pick<RequestState, 'posted' | 'attempts' | 'accepted' | 'unmatchedFailures' | 'ended'>;

/** Posts the first copy of a datagram. */
function send(
  { parameters, timeout }: RequestSettings,
  before: Carried,
  conversation: Conversation,
  now: number,
): RequestStep {
  return post(
    {
      ...before,
      conversation,
      posts: [],
      unrecorded: false,
      repeatAt: Number.POSITIVE_INFINITY,
      lastRepeatAt: now + parameters.exchangeLifetime - parameters.maxLatency,
      expiresAt: now + timeout,
    },
    [],
  );
}

function post(state: RequestState, effects: readonly RequestEffect[]): RequestStep {
  const number = state.posted + 1;
  const posts = [...state.posts, { number, pending: true } as const];
  const attempts = Math.max(state.attempts, posts.length);
  // The next copy waits for the result of this post.
  const next = { ...state, posts, posted: number, attempts, repeatAt: Number.POSITIVE_INFINITY };
  return { state: next, effects: [...effects, { type: 'post', number, conversation: state.conversation }] };
}

function tick({ deadlineAt }: RequestSettings, state: RequestState, now: number): RequestStep {
  if (now >= state.expiresAt) return end(state, timeoutOutcome(state, 'no-answer', 'no answer arrived in time'));
  if (now < state.repeatAt) return { state, effects: [] };
  // A device that has the command answers from memory; one that does not have it must not get it this late.
  const known = state.accepted || state.conversation.partial !== undefined;
  if (now > state.lastRepeatAt || (now >= deadlineAt && !known)) {
    return { state: { ...state, repeatAt: Number.POSITIVE_INFINITY }, effects: [] };
  }
  return post(state, []);
}

function posted(
  settings: RequestSettings,
  state: RequestState,
  { number, sid }: { number: number; sid: string },
  now: number,
): RequestStep {
  const failure = state.unmatchedFailures.get(sid);
  const recorded = recordPost(settings, state, number, failure === undefined ? { sid } : { failure }, now);
  const attempt = state.posts.findIndex((one) => one.number === number) + 1;
  return attempt === 0 ? recorded : { ...recorded, effects: [{ type: 'sent', attempt }, ...recorded.effects] };
}

/** Records the result of one post; that of an earlier datagram is ignored. */
function recordPost(
  settings: RequestSettings,
  state: RequestState,
  number: number,
  postResult: Omit<Post, 'number'>,
  now: number,
): RequestStep {
  if (!state.posts.some((one) => one.number === number)) return { state, effects: [] };
  const posts = state.posts.map((one) => (one.number === number ? { number, ...postResult } : one));
  const repeatAt = now + waitAfter(settings, posts.length);
  return endIfAllFailed({ ...state, posts, repeatAt, unmatchedFailures: new Map() });
}

function failed(state: RequestState, sid: string, failure: PostFailure): RequestStep {
  if (state.posts.some((one) => one.sid === sid)) {
    const posts = state.posts.map((one) => (one.sid === sid ? { number: one.number, failure } : one));
    return endIfAllFailed({ ...state, posts });
  }
  const waiting =
    state.posts.some(({ pending }) => pending === true) && state.unmatchedFailures.size < MAX_UNMATCHED_FAILURES;
  return {
    state: waiting ? { ...state, unmatchedFailures: new Map(state.unmatchedFailures).set(sid, failure) } : state,
    effects: [],
  };
}

/** Ends the request when no post of the current datagram can have reached the device. */
function endIfAllFailed(state: RequestState): RequestStep {
  const failure = failureOfAll(state);
  if (failure === undefined || state.conversation.partial !== undefined) return { state, effects: [] };
  return end(state, notSent(failure));
}

/** Milliseconds from the API's answer to a datagram's nth post to the next (RFC 7252 §4.2). */
export function waitAfter(
  { parameters, factor }: Pick<RequestSettings, 'parameters' | 'factor'>,
  posts: number,
): number {
  if (posts >= MAX_POSTS) return Number.POSITIVE_INFINITY;
  const doublings = posts <= parameters.maxRetransmit ? posts - 1 : 0;
  return parameters.ackTimeout * factor * 2 ** doublings;
}

function received(settings: RequestSettings, state: RequestState, reply: Interpretation, now: number): RequestStep {
  switch (reply?.type) {
    case undefined:
      return { state, effects: [] };
    case 'accepted':
      return { state: { ...state, accepted: true }, effects: state.accepted ? [] : [{ type: 'accepted' }] };
    case 'unrecorded':
      // The device has not decided: a repeat may find it less busy, and an earlier copy may still reach it.
      return { state: { ...state, unrecorded: true }, effects: acknowledgement(reply) };
    case 'next': {
      const next = send(settings, state, reply.next, now);
      return { ...next, effects: [...acknowledgement(reply), reply.progress, ...next.effects] };
    }
    case 'end': {
      const last = end(state, reply.ending);
      return { ...last, effects: [...acknowledgement(reply), ...last.effects] };
    }
  }
}

const acknowledgement = ({ acknowledge }: { readonly acknowledge?: Buffer }): RequestEffect[] =>
  acknowledge === undefined ? [] : [{ type: 'acknowledge', bytes: acknowledge }];

const end = (state: RequestState, ending: RequestEnding): RequestStep => ({
  state: { ...state, ended: true, repeatAt: Number.POSITIVE_INFINITY, expiresAt: Number.POSITIVE_INFINITY },
  effects: [{ type: 'end', ending }],
});

/** Returns the outcome of a request that is no longer waited for: what is certain about the command. */
function timeoutOutcome(state: RequestState, code: ErrorCode, message: string): RequestEnding {
  const { conversation } = state;
  if (conversation.partial !== undefined) return conversation.partial();
  const failure = failureOfAll(state);
  if (failure !== undefined) return notSent(failure);
  if (!conversation.canRun) return notSent({ code, message: `${message}; the command was not sent completely` });
  if (state.accepted) return makeEnding('no-answer', code, `${message}; the device had accepted the command`);
  if (!state.unrecorded) return makeEnding('no-answer', code, message);
  const why = 'the device was too busy to run the command and to record that it refused it: a late copy may still run';
  return makeEnding('no-answer', code, `${message}; ${why}`, { remedy: UNRECORDED_REMEDY });
}

const UNRECORDED_REMEDY =
  'Wait until the device has less to do, and check whether the command took effect before sending it again.';

/** Returns why the last post failed, if all of them failed. */
function failureOfAll({ posts }: RequestState): PostFailure | undefined {
  return posts.every(({ failure }) => failure !== undefined) ? posts.at(-1)?.failure : undefined;
}

const notSent = ({ code, message, ...details }: PostFailure): RequestEnding =>
  makeEnding('not-sent', code, message, details);
