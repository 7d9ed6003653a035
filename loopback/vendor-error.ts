/** The vendor's codes that the loopback uses (fact sheet §2 "Errors"). */
export const VENDOR_CODES = {
  badParameter: 20001,
  authenticate: 20003,
  methodNotAllowed: 20004,
  notFound: 20404,
  internal: 20500,
  ipCommandFailed: 83400,
  notAttached: 83401,
  callbackFailed: 83402,
  simInactive: 83705,
} as const;

/** What the API answers when it refuses a request; routes throw it. */
export class VendorError extends Error {
  readonly status: number;
  readonly code: number;

  constructor(status: number, code: number, message: string) {
    super(message);
    this.name = 'VendorError';
    this.status = status;
    this.code = code;
  }

  body(): { code: number; message: string; more_info: string; status: number } {
    const { code, message, status } = this;
    return { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status };
  }

  response(headers: Record<string, string> = {}): Response {
    return Response.json(this.body(), { status: this.status, headers });
  }
}

export const badParameter = (message: string): VendorError => new VendorError(400, VENDOR_CODES.badParameter, message);

export const notFound = (path: string): VendorError =>
  new VendorError(404, VENDOR_CODES.notFound, `The requested resource ${path} was not found`);
