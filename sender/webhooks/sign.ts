import { createHash, createHmac } from 'node:crypto';

/** What webhooks are signed with: KORE's secret, Twilio's auth token. */
export interface WebhookSecrets {
  readonly koreSecret?: string | undefined;
  readonly twilioAuthToken?: string | undefined;
}

/** Hexadecimal SHA-256 of secret, method, URL and body (docs/vendor-facts.md, "Webhooks: KORE signature"). */
export const koreSignature = (secret: string, method: string, url: string, body: string): string =>
  createHash('sha256').update(`${secret}${method}${url}${body}`, 'utf8').digest('hex');

/** Base64 of HMAC-SHA1 over the URL and the form (docs/vendor-facts.md, "Webhooks: Twilio signature"). */
export const twilioSignature = (authToken: string, url: string, form: URLSearchParams | undefined): string =>
  createHmac('sha1', authToken)
    .update(`${url}${form === undefined ? '' : signedParams(form)}`, 'utf8')
    .digest('base64');

/** Names and values, sorted by name; of values that share a name each once, sorted. */
function signedParams(form: URLSearchParams): string {
  const names = [...new Set(form.keys())].sort();
  return names.flatMap((name) => [...new Set(form.getAll(name))].sort().map((value) => name + value)).join('');
}
