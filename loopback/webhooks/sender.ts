import { randomUUID } from 'node:crypto';
import { VERSION } from '../../shared/version.js';
import type { WebhookMethod } from '../account/registry.js';
import { vendorDate } from '../account/store.js';
import { koreSignature, twilioSignature } from './signature.js';

/** A webhook as it goes over the wire. */
export interface WrittenWebhook {
  readonly method: WebhookMethod;
  /** As the account's owner wrote it. */
  readonly ownersUrl: string;
  /** With the query, without a fragment. */
  readonly url: string;
  /** Undefined for a GET. */
  readonly body: string | undefined;
  readonly params: Readonly<Record<string, string>>;
}

/** The headers that tell who sends a webhook. */
export type WebhookSender = (webhook: WrittenWebhook) => Record<string, string>;

/**
 * As KORE sends them, which all have come from since November 2024 (docs/vendor-facts.md, "Webhooks: KORE headers").
 *
 * @param secret of the account's webhooks
 */
export const koreSender =
  (secret: string): WebhookSender =>
  ({ method, ownersUrl, body = '' }) => ({
    'kore-signature': koreSignature(secret, method, ownersUrl, body),
    'kore-idempotency-token': randomUUID(),
    date: vendorDate(),
    'User-Agent': 'KoreProxy/1.1',
  });

/** As Twilio sent them (docs/vendor-facts.md, "Webhooks: Twilio signature"). */
export const twilioSender =
  (authToken: string): WebhookSender =>
  ({ method, url, params }) => ({
    'X-Twilio-Signature': twilioSignature(authToken, url, method === 'POST' ? params : {}),
    'User-Agent': `supersim-loopback/${VERSION}`,
  });
