import { randomUUID } from 'node:crypto';
import { VERSION } from '../../shared/version.js';
import type { WebhookMethod } from '../account/registry.js';
import { vendorDate } from '../account/store.js';
import { koreSignature, twilioSignature } from './signature.js';

/** An encoded webhook request. */
export interface EncodedWebhook {
  readonly method: WebhookMethod;
  /** URL as the account's owner configured it. */
  readonly ownersUrl: string;
  /** URL with the query, without a fragment. */
  readonly url: string;
  /** Undefined for a GET. */
  readonly body: string | undefined;
  readonly params: Readonly<Record<string, string>>;
}

/** Returns a provider's headers of a webhook, with its signature. */
export type WebhookHeaders = (webhook: EncodedWebhook) => Record<string, string>;

/**
 * Headers of KORE, which has sent all webhooks since November 2024 (docs/vendor-facts.md, "Webhooks: KORE headers").
 *
 * @param secret webhook secret of the account
 */
export const koreHeaders =
  (secret: string): WebhookHeaders =>
  ({ method, ownersUrl, body = '' }) => ({
    'kore-signature': koreSignature(secret, method, ownersUrl, body),
    'kore-idempotency-token': randomUUID(),
    date: vendorDate(),
    'User-Agent': 'KoreProxy/1.1',
  });

/** Headers of Twilio (docs/vendor-facts.md, "Webhooks: Twilio signature"). */
export const twilioHeaders =
  (authToken: string): WebhookHeaders =>
  ({ method, url, params }) => ({
    'X-Twilio-Signature': twilioSignature(authToken, url, method === 'POST' ? params : {}),
    'User-Agent': `supersim-loopback/${VERSION}`,
  });
