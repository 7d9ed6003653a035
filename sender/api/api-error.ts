import * as z from 'zod';
import { isSupersimError, SupersimError } from '../../shared/errors.js';

/** Most characters of the vendor's message, and of its link, in the error's message. */
const MAX_TEXT = 500;

/**
 * The body of an error: `{ code, message, more_info }` (docs/vendor-facts.md, "API: errors"), or of the token endpoint
 * `{ error, error_description }` ("KORE: access tokens"). A proxy's page has none of them.
 */
const errorBodySchema = z.object({
  code: z.int().optional().catch(undefined),
  message: z.string().optional().catch(undefined),
  more_info: z.string().optional().catch(undefined),
  error: z.string().optional().catch(undefined),
  error_description: z.string().optional().catch(undefined),
});

/** The API answered with an error status: the request was not carried out. */
export class ApiError extends SupersimError<'api-error'> {
  /** The HTTP status, 400 to 599. */
  readonly status: number;
  /** The vendor's own code, such as 20404, where the answer had one. */
  readonly vendorCode: number | undefined;
  /** The vendor's page on the code, where the answer had one. */
  readonly moreInfo: string | undefined;

  /** @param body the answer's body, of any kind */
  constructor(status: number, body: string) {
    const { code, more_info, ...texts } = errorBodySchema.catch({}).parse(parseJson(body));
    const message = texts.message ?? texts.error_description ?? texts.error;
    super('api-error', describe(status, code, message, more_info), status === 401 ? { remedy: CHECK_CREDENTIALS } : {});
    this.name = 'ApiError';
    this.status = status;
    this.vendorCode = code;
    this.moreInfo = more_info;
  }
}

/** Tells whether an error is one of the API or the network, so that the same request may succeed later. */
export const mayPass = (error: unknown): boolean =>
  isSupersimError(error, 'api-unreachable') ||
  (error instanceof ApiError && (error.status === 429 || error.status >= 500));

/** Tells whether the API refused the credentials or the permission, so that other requests would fail too. */
export const isForbidden = (error: unknown): error is ApiError =>
  error instanceof ApiError && (error.status === 401 || error.status === 403);

const CHECK_CREDENTIALS = 'Check the credentials, and that they belong to this API address.';

function describe(status: number, code?: number, message?: string, moreInfo?: string): string {
  const head = code === undefined ? `HTTP ${status}` : `HTTP ${status}, code ${code}`;
  const tail = moreInfo === undefined ? '' : ` (${oneLine(moreInfo)})`;
  return `${head}: ${message === undefined ? 'no message' : oneLine(message)}${tail}`;
}

/** Returns the vendor's text on one line: it must not be able to fake further lines of output. */
const oneLine = (text: string) => text.slice(0, MAX_TEXT).replaceAll(/\s+/g, ' ').trim();

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
