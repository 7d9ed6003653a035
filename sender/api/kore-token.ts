import * as z from 'zod';
import type { Authorization } from './authorization.js';
import { type ApiConnection, callApi } from './http.js';

/** How long before its expiry a token is renewed, in milliseconds; a tenth of its lifetime where that is less. */
export const MAX_RENEWAL_MARGIN_MS = 60_000;

/** The token endpoint's answer (docs/vendor-facts.md, "KORE: access tokens"). */
const tokenSchema = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/),
  /** Seconds; a token without it is used until the API refuses it. */
  expires_in: z.coerce.number().positive().optional(),
});

export interface KoreTokenOptions {
  readonly url: URL;
  readonly clientId: string;
  readonly clientSecret: string;
  /** A monotonic clock, in milliseconds. */
  readonly now?: (() => number) | undefined;
}

/**
 * Makes an authorization by OAuth 2 client credentials (RFC 6749 §4.4): one token for all requests, fetched when first
 * needed, and again shortly before it expires or when the API refuses it.
 */
export function koreAuthorization(
  connection: Omit<ApiConnection, 'authorization'>,
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
    const requestedAt = now();
    const answer = await callApi(connection, { method: 'POST', url, form, repeatable: true }, tokenSchema);
    const lifetime = (answer.expires_in ?? Number.POSITIVE_INFINITY) * 1000;
    const header = `Bearer ${answer.access_token}`;
    current = { header, renewAt: requestedAt + lifetime - Math.min(MAX_RENEWAL_MARGIN_MS, lifetime / 10) };
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
      // Of concurrent requests that are refused, only the first discards the token.
      if (current?.header === header) current = undefined;
      return true;
    },
  };
}
