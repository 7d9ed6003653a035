import type { IpCommandClient } from '../api/client.js';
import type { Callback } from '../webhooks/callback.js';
import { pollingReplies, type ReplyListener, type ReplySource } from './polling.js';

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

interface Waiter {
  readonly listener: ReplyListener;
  /** A callback of the SIM came. */
  stir(): void;
}

/** Who waits for one SIM. */
interface Waiters {
  readonly all: Set<Waiter>;
  /** Where they wait for it under another name, and it is known. */
  simSid?: string;
}

/** Replies from webhooks, and from the list where these stay away. */
export function webhookReplies({
  client,
  quietAfter = QUIET_AFTER_MS,
  interval,
}: WebhookRepliesOptions = {}): WebhookReplies {
  const waitersOf = new Map<string, Waiters>();
  const nameOf = new Map<string, string>();
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
    const { simSid = '', simUniqueName } = callback;
    for (const name of new Set([simSid, simUniqueName, nameOf.get(simSid)])) {
      for (const { listener, stir } of waitersOf.get(name ?? '')?.all ?? []) {
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
      const waiters = waitersOf.get(sim) ?? { all: new Set() };
      waitersOf.set(sim, waiters);
      waiters.all.add(waiter);
      return () => {
        watch?.end();
        waiters.all.delete(waiter);
        if (waiters.all.size > 0 || waitersOf.get(sim) !== waiters) return;
        waitersOf.delete(sim);
        if (waiters.simSid !== undefined) nameOf.delete(waiters.simSid);
      };
    },
    learn(sim, simSid) {
      const waiters = waitersOf.get(sim);
      if (waiters === undefined || sim === simSid) return;
      waiters.simSid = simSid;
      nameOf.set(simSid, sim);
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
