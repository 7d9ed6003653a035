import { createHash, createHmac } from 'node:crypto';

/**
 * The value of `X-Twilio-Signature`: Base64 of HMAC-SHA1, keyed with the account's auth token, over the URL and
 * then each POST parameter's name and value, sorted by name, with no separator
 * (docs/vendor-facts.md, "Webhooks: Twilio signature").
 *
 * @param url the requested URL, with its query and without a fragment
 * @param params the form of a POST; none for a GET, whose parameters are in the URL
 */
export function twilioSignature(authToken: string, url: string, params: Readonly<Record<string, string>>): string {
  const signed = Object.keys(params)
    .sort()
    .map((name) => `${name}${params[name]}`);
  return createHmac('sha1', authToken)
    .update([url, ...signed].join(''), 'utf8')
    .digest('base64');
}

/**
 * The value of `kore-signature`: hexadecimal SHA-256 of secret, method, URL and body, without separators. It is
 * no HMAC, and the URL is without its query, so that it covers only the path of a GET (docs/vendor-facts.md, "Webhooks:
 * KORE signature").
 *
 * @param url the URL as the account's owner configured it
 */
export function koreSignature(secret: string, method: string, url: string, body: string): string {
  const [bare] = url.split(/[?#]/, 1);
  return createHash('sha256').update(`${secret}${method}${bare}${body}`, 'utf8').digest('hex');
}
