import { createHash, timingSafeEqual } from 'node:crypto';
import { parse, stringify } from 'node:querystring';
import { koreSignature, twilioSignature } from './sign.js';

/** A callback as it arrived. */
export interface SignedRequest {
  readonly method: string;
  /** As the vendor calls it, without a fragment. */
  readonly url: string;
  /** Empty for a GET. */
  readonly body: string;
  /** Of a form; undefined for a body of another kind. */
  readonly form: URLSearchParams | undefined;
}

/**
 * Verifies `X-Twilio-Signature` (docs/vendor-facts.md, "Webhooks: Twilio signature"): Base64 of HMAC-SHA1, keyed with
 * the account's auth token, over the URL and each parameter of the form. The vendor signs the URL with or without its
 * port, and may rewrite its query: each form is tried. A body that is not a form is covered by its digest in the query.
 */
export function isSignedByTwilio(authToken: string, signature: string, request: SignedRequest): boolean {
  const { method, url, body, form } = request;
  const bodyDigest = new URL(url).searchParams.get('bodySHA256');
  if (method !== 'GET' && form === undefined && bodyDigest === null) return false;
  if (bodyDigest !== null && !isSame(bodyDigest, sha256(body))) return false;
  const params = bodyDigest === null ? form : undefined;
  return twilioUrls(url).some((candidate) => isSame(signature, twilioSignature(authToken, candidate, params)));
}

function twilioUrls(url: string): string[] {
  const queryStart = url.indexOf('?');
  const query = queryStart === -1 ? '' : url.slice(queryStart + 1);
  const rewritten = query === '' ? [] : [`${url.slice(0, queryStart)}?${stringify(parse(query))}`, new URL(url).href];
  return [url, ...rewritten].flatMap(withAndWithoutPort);
}

/**
 * Verifies `kore-signature` (docs/vendor-facts.md, "Webhooks: KORE signature"): hexadecimal SHA-256 of secret, method,
 * URL and body. The URL is without its query, or with it as in an older copy of the vendor's page. It is not an HMAC:
 * whoever knows one signature can make one for a longer body, but only with bytes in between that no form has.
 */
export function isSignedByKore(secret: string, signature: string, { method, url, body }: SignedRequest): boolean {
  if (!/^[\x20-\x7e]*$/.test(body)) return false;
  const [bare = ''] = url.split('?', 1);
  return [bare, url]
    .flatMap(withAndWithoutPort)
    .flatMap(withAndWithoutSlash)
    .some((candidate) => isSame(signature, koreSignature(secret, method, candidate, body)));
}

/** Returns the URL with its port, also a default one, and without it. */
function withAndWithoutPort(url: string): string[] {
  const [, scheme, host, port, rest] = /^(https?:\/\/)([^/?#]*?)(:\d+)?([/?#].*)?$/i.exec(url) ?? [];
  if (scheme === undefined || host === undefined) return [url];
  const usual = scheme.toLowerCase() === 'https://' ? ':443' : ':80';
  return [`${scheme}${host}${port ?? usual}${rest ?? ''}`, `${scheme}${host}${rest ?? ''}`];
}

/** Returns a URL with the path `/` also without it: a client requests a bare host so. */
function withAndWithoutSlash(url: string): string[] {
  return /^https?:\/\/[^/?#]*\/(?=$|\?)/i.test(url) ? [url, url.replace(/\/(?=$|\?)/, '')] : [url];
}

const sha256 = (text: string) => createHash('sha256').update(text, 'utf8').digest('hex');

/** Compares in constant time. */
function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
