import { setMaxListeners } from 'node:events';
import type { WebhookMethod } from '../account/registry.js';
import { type AttemptResult, attemptWebhook } from './attempt.js';
import type { WebhookHeaders } from './headers.js';
import { parseOverrides } from './overrides.js';

/** Maximum of webhooks in flight, and of those that wait; further ones are dropped. */
export const MAX_WEBHOOKS_IN_FLIGHT = 16;
export const MAX_WEBHOOKS_WAITING = 1000;

export interface Webhook {
  /** SID of the command that the webhook reports. */
  readonly commandSid: string;
  /** URL as the account's owner configured it; a fragment overrides time-outs and retries. */
  readonly url: string;
  readonly method: WebhookMethod;
  readonly params: Readonly<Record<string, string>>;
}

/** Result of a webhook: a 2xx status, or one of the vendor's error codes. */
export type WebhookResult = { readonly webhook: Webhook; readonly attempts: number } & (
  | { readonly ok: true; readonly status: number }
  | { readonly ok: false; readonly errorCode: number; readonly reason: string }
);

export interface Webhooks {
  send(webhook: Webhook): void;
  /** Aborts the webhooks in flight and discards those that wait. */
  close(): Promise<void>;
}

export function createWebhooks(headersOf: WebhookHeaders, onResult: (result: WebhookResult) => void): Webhooks {
  const waiting: Webhook[] = [];
  const inFlight = new Set<Promise<void>>();
  const stop = new AbortController();
  // One or two listeners for each webhook in flight, which are bounded.
  setMaxListeners(0, stop.signal);

  function next(): void {
    while (inFlight.size < MAX_WEBHOOKS_IN_FLIGHT) {
      const webhook = waiting.shift();
      if (webhook === undefined) return;
      const done = deliver(webhook, headersOf, stop.signal).then((result) => {
        inFlight.delete(done);
        if (stop.signal.aborted) return;
        onResult(result);
        next();
      });
      inFlight.add(done);
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
      await Promise.all(inFlight);
    },
  };
}

/** Encodes the parameters in the query of a GET, or in the form of a POST. */
function encodeRequest({ url, method, params }: Webhook): { readonly url: string; readonly body: string | undefined } {
  const target = new URL(url);
  target.hash = '';
  const form = new URLSearchParams(params).toString();
  if (method === 'POST') return { url: target.href, body: form };
  return { url: `${target.href}${target.search === '' ? '?' : '&'}${form}`, body: undefined };
}

async function deliver(webhook: Webhook, headersOf: WebhookHeaders, signal: AbortSignal): Promise<WebhookResult> {
  const { url, body } = encodeRequest(webhook);
  const { connectMs, readMs, totalMs, retries } = parseOverrides(webhook.url);
  const headers: Record<string, string> = {
    Accept: '*/*',
    // The same in every attempt.
    ...headersOf({ method: webhook.method, ownersUrl: webhook.url, url, body, params: webhook.params }),
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
    result = await attemptWebhook({ url, method: webhook.method, headers, body, limits, signal });
  } while (!result.ok && result.retry && attempts <= retries && !signal.aborted);
  if (result.ok) return { webhook, attempts, ok: true, status: result.status };
  return { webhook, attempts, ok: false, errorCode: result.errorCode, reason: result.reason };
}
