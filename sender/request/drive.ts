import type { Conversation } from './conversation.js';
import {
  nextTickAt,
  type RequestEffect,
  type RequestInput,
  type RequestSettings,
  type RequestStep,
  start,
  step,
} from './outcome-machine.js';
import type { RequestEnding } from './result.js';

/** Performs the effects of a request. */
export interface Actions {
  /** Posts a datagram; resolves to the result, and never rejects. */
  post(number: number, conversation: Conversation): Promise<RequestInput>;
  acknowledge(bytes: Buffer): void;
  progress(effect: Exclude<RequestEffect, { type: 'post' | 'acknowledge' | 'end' }>): void;
}

/** Runs the state machine on the clock: `feed` takes inputs, and `ended` resolves to the outcome. */
export function drive(settings: RequestSettings, conversation: Conversation, actions: Actions) {
  let last: RequestStep | undefined;
  let timer: NodeJS.Timeout | undefined;
  let settle = (_ending: RequestEnding) => {};
  const ended = new Promise<RequestEnding>((resolve) => {
    settle = resolve;
  });

  function advance(next: RequestStep): void {
    last = next;
    clearTimeout(timer);
    const { state, effects } = next;
    if (!state.ended)
      timer = setTimeout(() => feed({ type: 'tick' }), Math.max(0, nextTickAt(state) - performance.now()));
    for (const effect of effects) perform(effect);
  }

  function perform(effect: RequestEffect): void {
    switch (effect.type) {
      case 'post':
        void actions.post(effect.number, effect.conversation).then(feed);
        break;
      case 'acknowledge':
        actions.acknowledge(effect.bytes);
        break;
      case 'end':
        settle(effect.ending);
        break;
      default:
        actions.progress(effect);
    }
  }

  /** Inputs before the start or after the end have no effect. */
  function feed(input: RequestInput): void {
    if (last !== undefined) advance(step(settings, last.state, input, performance.now()));
  }

  return {
    ended,
    feed,
    start: () => advance(start(settings, conversation, performance.now())),
    get attempts() {
      return last?.state.attempts ?? 0;
    },
  };
}
