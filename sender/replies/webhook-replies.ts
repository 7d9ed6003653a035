import type { IpCommandClient } from '../api/client.js';
import type { Callback } from '../webhooks/callback.js';
import { pollingReplies, type ReplyListener, type ReplySource } from './polling.js';

/** Default of {@link WebhookRepliesOptions.quietAfter}. */
export const QUIET_AFTER_MS = 15_000;

export interface WebhookRepliesOptions {
  /** Polls the list while no webhook arrives; without it, a lost webhook is a lost reply. */
  readonly client?: Pick<IpCommandClient, 'pages'> | undefined;
  /**
   * Milliseconds without a webhook of a SIM after which its list is polled too, until the listener unsubscribes;
   * default 15,000; 0 polls from the start.
   */
  readonly quietAfter?: number | undefined;
  /** Milliseconds between two reads of the list; default 2000. */
  readonly interval?: number | undefined;
}

/** A reply source that is fed by webhooks. */
export interface WebhookReplies extends ReplySource {
  /** Takes a callback: pass it as `onCallback` of the webhook receiver. */
  handleCallback(callback: Callback): void;
}

interface Subscriber {
  readonly listener: ReplyListener;
  /** Restarts the wait before the fallback. */
  onWebhook(): void;
}

/** The subscribers of one SIM. */
interface Subscribers {
  readonly all: Set<Subscriber>;
  /** The SIM's SID, where they subscribed by its unique name and the SID is known. */
  simSid?: string;
}

/** Makes a reply source from webhooks, and from the list while none arrives. */
export function webhookReplies({
  client,
  quietAfter = QUIET_AFTER_MS,
  interval,
}: WebhookRepliesOptions = {}): WebhookReplies {
  const subscribersOf = new Map<string, Subscribers>();
  const nameOf = new Map<string, string>();
  const fallback = client && pollingReplies(client, { interval, includeExisting: true });

  function handleCallback(callback: Callback): void {
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
      for (const { listener, onWebhook } of subscribersOf.get(name ?? '')?.all ?? []) {
        onWebhook();
        listener.onCommand(command, errorCode);
      }
    }
  }

  return {
    handleCallback,
    async listen(sim, listener) {
      const delayed = fallback && startDelayed(fallback, sim, listener, quietAfter);
      const subscriber: Subscriber = { listener, onWebhook: () => delayed?.restart() };
      const subscribers = subscribersOf.get(sim) ?? { all: new Set() };
      subscribersOf.set(sim, subscribers);
      subscribers.all.add(subscriber);
      return () => {
        delayed?.stop();
        subscribers.all.delete(subscriber);
        if (subscribers.all.size > 0 || subscribersOf.get(sim) !== subscribers) return;
        subscribersOf.delete(sim);
        if (subscribers.simSid !== undefined) nameOf.delete(subscribers.simSid);
      };
    },
    setSimSid(sim, simSid) {
      const subscribers = subscribersOf.get(sim);
      if (subscribers === undefined || sim === simSid) return;
      subscribers.simSid = simSid;
      nameOf.set(simSid, sim);
    },
  };
}

/** Subscribes to the fallback after `quietAfter` milliseconds without a restart. */
function startDelayed(fallback: ReplySource, sim: string, listener: ReplyListener, quietAfter: number) {
  let stopped = false;
  let unsubscribe: (() => void) | undefined;
  const timer = setTimeout(start, quietAfter);

  function start(): void {
    fallback.listen(sim, listener).then(
      (subscribed) => {
        if (stopped) subscribed();
        else unsubscribe = subscribed;
      },
      (error) => {
        if (stopped) return;
        listener.onError(error);
        timer.refresh();
      },
    );
  }

  return {
    restart: () => {
      if (unsubscribe === undefined && !stopped) timer.refresh();
    },
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      unsubscribe?.();
    },
  };
}
