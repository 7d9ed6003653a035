import { createHash, createHmac } from 'node:crypto';

/** The secrets that webhooks are signed with: KORE's webhook secret, Twilio's auth token. */
export interface WebhookSecrets {
  readonly koreSecret?: string | undefined;
  readonly twilioAuthToken?: string | undefined;
}

/**
 * Returns the hexadecimal SHA-256 of secret, method, URL and body (docs/vendor-facts.md, "Webhooks: KORE signature").
 */
export const koreSignature = (secret: string, method: string, url: string, body: string): string =>
  createHash('sha256').update(`${secret}${method}${url}${body}`, 'utf8').digest('hex');

/**
 * Returns Base64 of HMAC-SHA1, keyed with the account's auth token, over URL and form (docs/vendor-facts.md, "Webhooks:
 * Twilio signature").
 */
export const twilioSignature = (authToken: string, url: string, form: URLSearchParams | undefined): string =>
  createHmac('sha1', authToken)
    .update(`${url}${form === undefined ? '' : signedParams(form)}`, 'utf8')
    .digest('base64');

/** Returns names and values, sorted by name; the values of one name sorted too, without duplicates. */
function signedParams(form: URLSearchParams): string {
  const names = [...new Set(form.keys())].sort();
  return names.flatMap((name) => [...new Set(form.getAll(name))].sort().map((value) => name + value)).join('');
}
