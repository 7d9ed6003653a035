import type { Conversation } from './conversation.js';
import { begin, type Effect, type Input, type Settings, type Step, step, wakeAt } from './machine.js';
import type { Ending } from './outcome.js';

/** What a request does to the world. */
export interface Actions {
  /** Posts a datagram; resolves to what became of it, and never rejects. */
  post(number: number, bytes: Buffer): Promise<Input>;
  acknowledge(bytes: Buffer): void;
  progress(effect: Exclude<Effect, { type: 'post' | 'acknowledge' | 'end' }>): void;
}

/** Runs the state machine on the clock: `feed` is told what happens, `ended` resolves once to how it ended. */
export function drive(settings: Settings, conversation: Conversation, actions: Actions) {
  let last: Step | undefined;
  let timer: NodeJS.Timeout | undefined;
  let settle = (_how: Ending) => {};
  const ended = new Promise<Ending>((resolve) => {
    settle = resolve;
  });

  function take(next: Step): void {
    last = next;
    clearTimeout(timer);
    const { state, effects } = next;
    if (!state.ended) timer = setTimeout(() => feed({ type: 'tick' }), Math.max(0, wakeAt(state) - performance.now()));
    for (const effect of effects) perform(effect);
  }

  function perform(effect: Effect): void {
    switch (effect.type) {
      case 'post':
        void actions.post(effect.number, effect.bytes).then(feed);
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

  /** Nothing that is told before the start, or after the end, has an effect. */
  function feed(input: Input): void {
    if (last !== undefined) take(step(settings, last.state, input, performance.now()));
  }

  return {
    ended,
    feed,
    start: () => take(begin(settings, conversation, performance.now())),
    get attempts() {
      return last?.state.attempts ?? 0;
    },
  };
}
