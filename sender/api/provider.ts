import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { type Authorization, basicAuthorization } from './authorization.js';
import type { ApiConnection } from './http.js';
import { koreAuthorization } from './kore-token.js';

/** The URLs of KORE's API and of its token endpoint. */
export const KORE_BASE_URL = 'https://supersim.api.korewireless.com';
export const KORE_TOKEN_URL = 'https://api.korewireless.com/api-services/v1/auth/token';
/** The URL of Twilio's API, which has the same resources (docs/vendor-facts.md, "KORE: differences"). */
export const TWILIO_BASE_URL = 'https://supersim.twilio.com';

/** Credentials of KORE: OAuth 2 client credentials. */
export interface KoreCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
  /** URL of the API; default {@link KORE_BASE_URL}. */
  readonly baseUrl?: string | undefined;
  /** URL of the token endpoint; default {@link KORE_TOKEN_URL}, or its path below `baseUrl` where that is set. */
  readonly tokenUrl?: string | undefined;
}

/** Credentials of Twilio: Basic authentication. */
export interface TwilioCredentials {
  /** The account's SID (`AC…`), or an API key's (`SK…`). */
  readonly accountSid: string;
  /** The account's auth token, or the API key's secret. */
  readonly authToken: string;
  /** URL of the API; default {@link TWILIO_BASE_URL}. */
  readonly baseUrl?: string | undefined;
}

/** The credentials of either provider; their kind selects it. */
export type Credentials = KoreCredentials | TwilioCredentials;

/** What differs between the providers of the API. */
export interface Provider {
  readonly name: 'kore' | 'twilio';
  /** Without a trailing slash. */
  readonly baseUrl: string;
  /** Most resources on a page (docs/vendor-facts.md, "API: lists"). */
  readonly maxPageSize: number;
  authorize(connection: Omit<ApiConnection, 'authorization'>): Authorization;
}

const headerText = z.string().regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces');

const plainUrl = z
  .url({ protocol: /^https?$/, abort: true })
  .refine(isPlainUrl, 'must have no user, query or fragment')
  .transform((url) => url.replace(/\/+$/, ''));

const koreSchema = z.object({
  clientId: headerText,
  clientSecret: headerText,
  baseUrl: plainUrl.optional(),
  tokenUrl: plainUrl.optional(),
});

const twilioSchema = z.object({
  accountSid: headerText.refine((sid) => !sid.includes(':'), 'must not contain a colon'),
  authToken: headerText,
  baseUrl: plainUrl.default(TWILIO_BASE_URL),
});

/** @throws SupersimError `bad-input` */
export function providerOf(credentials: Credentials): Provider {
  return 'clientId' in credentials ? kore(credentials) : twilio(credentials);
}

function kore(credentials: KoreCredentials): Provider {
  const { baseUrl, tokenUrl, ...client } = checkInput(koreSchema, credentials, 'the credentials');
  // With another API, its own token endpoint is used: the secret must not be sent elsewhere.
  const derived = baseUrl === undefined ? KORE_TOKEN_URL : `${baseUrl}${new URL(KORE_TOKEN_URL).pathname}`;
  const url = new URL(tokenUrl ?? derived);
  return {
    name: 'kore',
    baseUrl: baseUrl ?? KORE_BASE_URL,
    maxPageSize: 100,
    authorize: (connection) => koreAuthorization(connection, { url, ...client }),
  };
}

function twilio(credentials: TwilioCredentials): Provider {
  const { accountSid, authToken, baseUrl } = checkInput(twilioSchema, credentials, 'the credentials');
  return {
    name: 'twilio',
    baseUrl,
    maxPageSize: 1000,
    authorize: () => basicAuthorization(accountSid, authToken),
  };
}

function isPlainUrl(text: string): boolean {
  const { username, password, search, hash } = new URL(text);
  return [username, password, search, hash].every((part) => part === '');
}
