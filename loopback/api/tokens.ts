import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { equalInConstantTime } from './timing-safe-equal.js';

/** Path of the token endpoint, which KORE has on another host. */
export const TOKEN_PATH = '/api-services/v1/auth/token';
/** Maximum of valid tokens; at the bound the oldest is revoked. */
const MAX_TOKENS = 1000;

export interface TokenOptions {
  readonly clientId: string;
  readonly clientSecret: string;
  /** Lifetime of a token in milliseconds. */
  readonly life: number;
  readonly onIssue: () => void;
}

/** KORE's access tokens (docs/vendor-facts.md, "KORE: access tokens"). */
export interface Tokens {
  /** Handles a token request. */
  issue(form: URLSearchParams): Response;
  isValid(token: string): boolean;
  /**
   * Revokes all tokens.
   *
   * @param secret the client secret for further requests
   */
  revoke(secret?: string): void;
}

const requestSchema = z.object({ grant_type: z.string(), client_id: z.string(), client_secret: z.string() });

export function createTokens({ clientId, clientSecret, life, onIssue }: TokenOptions): Tokens {
  let currentSecret = clientSecret;
  const expiryOf = new Map<string, number>();
  return {
    issue(form) {
      const { data } = requestSchema.safeParse(Object.fromEntries(form));
      if (data?.grant_type !== 'client_credentials') {
        return refusal(400, 'unsupported_grant_type', 'The grant type must be client_credentials');
      }
      if (!equalInConstantTime(data.client_id, clientId) || !equalInConstantTime(data.client_secret, currentSecret)) {
        return refusal(401, 'invalid_client', 'Invalid client or Invalid client credentials');
      }
      const [oldest] = expiryOf.keys();
      if (expiryOf.size >= MAX_TOKENS && oldest !== undefined) expiryOf.delete(oldest);
      const access_token = randomBytes(24).toString('base64url');
      expiryOf.set(access_token, performance.now() + life);
      onIssue();
      return Response.json({ access_token, expires_in: life / 1000, token_type: 'Bearer', scope: 'email profile' });
    },
    isValid: (token) => (expiryOf.get(token) ?? 0) > performance.now(),
    revoke(secret = currentSecret) {
      currentSecret = secret;
      expiryOf.clear();
    },
  };
}

const refusal = (status: number, error: string, error_description: string) =>
  Response.json({ error, error_description }, { status });
