import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { type Authorization, basicAuthorization } from './authorization.js';
import type { Connection } from './http.js';
import { koreAuthorization } from './kore-token.js';

/** KORE's API, and where its tokens are from. */
export const KORE_BASE_URL = 'https://supersim.api.korewireless.com';
export const KORE_TOKEN_URL = 'https://api.korewireless.com/api-services/v1/auth/token';
/** Twilio's API; the same resources (fact sheet §4). */
export const TWILIO_BASE_URL = 'https://supersim.twilio.com';

/** KORE's: OAuth 2 client credentials. */
export interface KoreCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
  /** Where the API is; default {@link KORE_BASE_URL}. */
  readonly baseUrl?: string | undefined;
  /** Where tokens are from; default {@link KORE_TOKEN_URL}, and with another `baseUrl` that path below it. */
  readonly tokenUrl?: string | undefined;
}

/** Twilio's: Basic authentication. */
export interface TwilioCredentials {
  /** The account's SID (`AC…`), or an API key's (`SK…`). */
  readonly accountSid: string;
  /** The account's auth token, or the API key's secret. */
  readonly authToken: string;
  /** Where the API is; default {@link TWILIO_BASE_URL}. */
  readonly baseUrl?: string | undefined;
}

/** Whose they are, the provider is. */
export type Credentials = KoreCredentials | TwilioCredentials;

/** What differs between the providers of the API. */
export interface Provider {
  readonly name: 'kore' | 'twilio';
  /** Without a slash at its end. */
  readonly baseUrl: string;
  /** Most resources on a page (fact sheet §2). */
  readonly maxPageSize: number;
  authorize(connection: Omit<Connection, 'authorization'>): Authorization;
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
  // A stand-in for the API is one for the tokens too: the secret must not go elsewhere.
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
