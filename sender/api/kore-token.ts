import * as z from 'zod';
import type { Authorization } from './authorization.js';
import { type Connection, callApi } from './http.js';

/** A token is replaced this long before it expires, or a tenth of its life where that is less; in milliseconds. */
export const MAX_RENEWAL_MARGIN_MS = 60_000;

/** See docs/vendor-facts.md, "KORE: access tokens". Its life is relative, so that the two clocks need not agree. */
const tokenSchema = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/),
  /** Seconds; a token without it is used until the API refuses it. */
  expires_in: z.coerce.number().positive().optional(),
});

export interface KoreTokenOptions {
  readonly url: URL;
  readonly clientId: string;
  readonly clientSecret: string;
  /** A clock that nobody sets, in milliseconds. */
  readonly now?: (() => number) | undefined;
}

/**
 * OAuth 2 client credentials (RFC 6749 §4.4): one token for all requests, fetched when the first one needs it, again
 * shortly before it expires, and once when the API refuses it before that.
 */
export function koreAuthorization(
  connection: Omit<Connection, 'authorization'>,
  { url, clientId, clientSecret, now = () => performance.now() }: KoreTokenOptions,
): Authorization {
  let current: { readonly header: string; readonly renewAt: number } | undefined;
  let fetching: Promise<string> | undefined;

  async function fetchToken(): Promise<string> {
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      client_secret: clientSecret,
    });
    const askedAt = now();
    const answer = await callApi(connection, { method: 'POST', url, form, repeatable: true }, tokenSchema);
    const life = (answer.expires_in ?? Number.POSITIVE_INFINITY) * 1000;
    const header = `Bearer ${answer.access_token}`;
    current = { header, renewAt: askedAt + life - Math.min(MAX_RENEWAL_MARGIN_MS, life / 10) };
    return header;
  }

  return {
    async header() {
      if (current !== undefined && now() < current.renewAt) return current.header;
      fetching ??= fetchToken().finally(() => {
        fetching = undefined;
      });
      return fetching;
    },
    refused(header) {
      // Of many requests that were refused together, the first has the token replaced for all.
      if (current?.header === header) current = undefined;
      return true;
    },
  };
}
