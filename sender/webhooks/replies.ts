import type { IpCommandClient } from '../client.js';
import { pollingReplies, type ReplyListener, type ReplySource } from '../replies.js';
import type { Callback } from './callback.js';

/** Default of {@link WebhookRepliesOptions.quietAfter}. */
export const QUIET_AFTER_MS = 15_000;

export interface WebhookRepliesOptions {
  /** Looks at the list instead while webhooks are quiet; without it, a lost webhook is a lost reply. */
  readonly client?: Pick<IpCommandClient, 'pages'> | undefined;
  /**
   * Milliseconds that a SIM's webhooks may be quiet before the list is looked at too, until the wait is over; default
   * 15,000; 0 looks from the beginning.
   */
  readonly quietAfter?: number | undefined;
  /** Milliseconds between two looks at the list; default 2000. */
  readonly interval?: number | undefined;
}

/** Replies from webhooks. */
export interface WebhookReplies extends ReplySource {
  /** To be told of each callback: `onCallback` of the webhook receiver. */
  hear(callback: Callback): void;
}

/** Who waits for one SIM. */
interface Waiter {
  readonly listener: ReplyListener;
  /** A callback of the SIM came. */
  stir(): void;
}

/** Replies from webhooks, and from the list where these stay away. */
export function webhookReplies({
  client,
  quietAfter = QUIET_AFTER_MS,
  interval,
}: WebhookRepliesOptions = {}): WebhookReplies {
  const waiters = new Map<string, Set<Waiter>>();
  const fallback = client && pollingReplies(client, { interval, tellFirst: true });

  function hear(callback: Callback): void {
    const { sid = '', direction, status, payload, errorCode } = callback;
    const command = {
      sid,
      direction,
      status,
      payload_type: 'binary',
      payload: payload?.toString('base64') ?? '',
    } as const;
    for (const name of new Set([callback.simSid, callback.simUniqueName])) {
      for (const { listener, stir } of waiters.get(name ?? '') ?? []) {
        stir();
        listener.heard(command, errorCode);
      }
    }
  }

  return {
    hear,
    async listen(sim, listener) {
      const watch = fallback && watchQuiet(fallback, sim, listener, quietAfter);
      const waiter: Waiter = { listener, stir: () => watch?.stir() };
      const all = waiters.get(sim) ?? new Set();
      waiters.set(sim, all.add(waiter));
      return () => {
        watch?.end();
        all.delete(waiter);
        if (all.size === 0 && waiters.get(sim) === all) waiters.delete(sim);
      };
    },
  };
}

/** Starts the fallback for a listener once its SIM has been quiet for so long. */
function watchQuiet(fallback: ReplySource, sim: string, listener: ReplyListener, quietAfter: number) {
  let ended = false;
  let leave: (() => void) | undefined;
  const timer = setTimeout(start, quietAfter);

  function start(): void {
    fallback.listen(sim, listener).then(
      (left) => {
        if (ended) left();
        else leave = left;
      },
      (error) => {
        if (ended) return;
        listener.trouble(error);
        timer.refresh();
      },
    );
  }

  return {
    stir: () => {
      if (leave === undefined && !ended) timer.refresh();
    },
    end: () => {
      ended = true;
      clearTimeout(timer);
      leave?.();
    },
  };
}
