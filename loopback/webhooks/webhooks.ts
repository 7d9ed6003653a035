import { setMaxListeners } from 'node:events';
import type { WebhookMethod } from '../account/registry.js';
import { type AttemptResult, attempt } from './attempt.js';
import { parseOverrides } from './overrides.js';
import type { WebhookSender } from './sender.js';

/** Webhooks under way at once, and waiting for one of those places; what comes on top is dropped. */
export const MAX_WEBHOOKS_IN_FLIGHT = 16;
export const MAX_WEBHOOKS_WAITING = 1000;

export interface Webhook {
  /** The SID of the command that it is about. */
  readonly commandSid: string;
  /** As the account's owner gave it; a fragment overrides time-outs and retries. */
  readonly url: string;
  readonly method: WebhookMethod;
  readonly params: Readonly<Record<string, string>>;
}

/** How a webhook ended: answered with 2xx, or not, and then by which of the vendor's codes. */
export type WebhookResult = { readonly webhook: Webhook; readonly attempts: number } & (
  | { readonly ok: true; readonly status: number }
  | { readonly ok: false; readonly errorCode: number; readonly reason: string }
);

export interface Webhooks {
  send(webhook: Webhook): void;
  /** Ends those under way; those that wait are forgotten. */
  close(): Promise<void>;
}

export function createWebhooks(sender: WebhookSender, onResult: (result: WebhookResult) => void): Webhooks {
  const waiting: Webhook[] = [];
  const underWay = new Set<Promise<void>>();
  const stop = new AbortController();
  // One or two for each webhook in flight, and those are bounded already.
  setMaxListeners(0, stop.signal);

  function next(): void {
    while (underWay.size < MAX_WEBHOOKS_IN_FLIGHT) {
      const webhook = waiting.shift();
      if (webhook === undefined) return;
      const done = deliver(webhook, sender, stop.signal).then((result) => {
        underWay.delete(done);
        if (stop.signal.aborted) return;
        onResult(result);
        next();
      });
      underWay.add(done);
    }
  }

  return {
    send(webhook) {
      if (stop.signal.aborted) return;
      if (waiting.length >= MAX_WEBHOOKS_WAITING) {
        const reason = `dropped: ${MAX_WEBHOOKS_WAITING} webhooks are waiting already`;
        onResult({ webhook, attempts: 0, ok: false, errorCode: 11200, reason });
        return;
      }
      waiting.push(webhook);
      next();
    },
    async close() {
      stop.abort();
      await Promise.all(underWay);
    },
  };
}

/** Where a webhook goes and what with: parameters in the query of a GET, in the form of a POST. */
function written({ url, method, params }: Webhook): { readonly url: string; readonly body: string | undefined } {
  const target = new URL(url);
  target.hash = '';
  const form = new URLSearchParams(params).toString();
  if (method === 'POST') return { url: target.href, body: form };
  return { url: `${target.href}${target.search === '' ? '?' : '&'}${form}`, body: undefined };
}

async function deliver(webhook: Webhook, sender: WebhookSender, signal: AbortSignal): Promise<WebhookResult> {
  const { url, body } = written(webhook);
  const { connectMs, readMs, totalMs, retries } = parseOverrides(webhook.url);
  const headers: Record<string, string> = {
    Accept: '*/*',
    // The same at every attempt.
    ...sender({ method: webhook.method, ownersUrl: webhook.url, url, body, params: webhook.params }),
    ...(body !== undefined && {
      'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
      'Content-Length': `${Buffer.byteLength(body)}`,
    }),
  };
  const deadline = performance.now() + totalMs;
  let result: AttemptResult;
  let attempts = 0;
  do {
    attempts += 1;
    const limits = { connectMs, readMs, totalMs: deadline - performance.now() };
    result = await attempt({ url, method: webhook.method, headers, body, limits, signal });
  } while (!result.ok && result.again && attempts <= retries && !signal.aborted);
  if (result.ok) return { webhook, attempts, ok: true, status: result.status };
  return { webhook, attempts, ok: false, errorCode: result.errorCode, reason: result.reason };
}
