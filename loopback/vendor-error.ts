/** Error codes of the vendor that the loopback uses (docs/vendor-facts.md, "API: errors"). */
export const VENDOR_CODES = {
  badParameter: 20001,
  authenticate: 20003,
  methodNotAllowed: 20004,
  notFound: 20404,
  tooManyRequests: 20429,
  internal: 20500,
  unavailable: 20503,
  ipCommandFailed: 83400,
  notAttached: 83401,
  callbackFailed: 83402,
  simInactive: 83705,
} as const;

/**
 * Whose customer asks: KORE's signs in with a token, Twilio's with a name and a password
 * (docs/vendor-facts.md, "Twilio: authentication" and "KORE: access tokens").
 */
export const PROVIDERS = ['kore', 'twilio'] as const;
export type ProviderName = (typeof PROVIDERS)[number];

const MORE_INFO: Readonly<Record<ProviderName, string>> = {
  kore: 'https://docs.korewireless.com/errors/',
  twilio: 'https://www.twilio.com/docs/errors/',
};

/** An error response of the API; routes throw it. */
export class VendorError extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.name = 'VendorError';
    this.status = status;
    this.code = code;
  }

  response(provider: ProviderName, headers: Record<string, string> = {}): Response {
    const { code, message, status } = this;
    const body = { code, message, more_info: `${MORE_INFO[provider]}${code}`, status };
    return Response.json(body, { status, headers });
  }
}

export const badParameter = (message: string): VendorError => new VendorError(400, VENDOR_CODES.badParameter, message);

export const notFound = (path: string): VendorError =>
  new VendorError(404, VENDOR_CODES.notFound, `The requested resource ${path} was not found`);
