import * as z from 'zod';
import { isSupersimError, SupersimError } from '../../shared/errors.js';

/** Most characters of the vendor's message, and of its link, that the message has. */
const MAX_TEXT = 500;

/**
 * See docs/vendor-facts.md, "API: errors" and "KORE: access tokens", which have `{ error, error_description }`. A
 * proxy's page has none of them.
 */
const errorBodySchema = z.object({
  code: z.int().optional().catch(undefined),
  message: z.string().optional().catch(undefined),
  more_info: z.string().optional().catch(undefined),
  error: z.string().optional().catch(undefined),
  error_description: z.string().optional().catch(undefined),
});

/** The API answered with an error status: what was asked for was not done. */
export class ApiError extends SupersimError<'api-error'> {
  /** The HTTP status, 400 to 599. */
  readonly status: number;
  /** The vendor's own code, such as 20404, where the answer had one. */
  readonly vendorCode: number | undefined;
  /** The vendor's page on the code, where the answer had one. */
  readonly moreInfo: string | undefined;

  /** @param body the answer's body, whatever it holds */
  constructor(status: number, body: string) {
    const { code, more_info, ...said } = errorBodySchema.catch({}).parse(parseJson(body));
    const message = said.message ?? said.error_description ?? said.error;
    super('api-error', describe(status, code, message, more_info), status === 401 ? { remedy: CHECK_CREDENTIALS } : {});
    this.name = 'ApiError';
    this.status = status;
    this.vendorCode = code;
    this.moreInfo = more_info;
  }
}

/** Whether an error is of the API or the way to it, and not of what was asked for: the same may work later. */
export const mayPass = (error: unknown): boolean =>
  isSupersimError(error, 'api-unreachable') ||
  (error instanceof ApiError && (error.status === 429 || error.status >= 500));

/** Whether the API lets this account do nothing, or not this: no other request would fare better. */
export const isForbidden = (error: unknown): error is ApiError =>
  error instanceof ApiError && (error.status === 401 || error.status === 403);

const CHECK_CREDENTIALS = 'Check the credentials, and that they belong to this API address.';

function describe(status: number, code?: number, message?: string, moreInfo?: string): string {
  const head = code === undefined ? `HTTP ${status}` : `HTTP ${status}, code ${code}`;
  const tail = moreInfo === undefined ? '' : ` (${oneLine(moreInfo)})`;
  return `${head}: ${message === undefined ? 'no message' : oneLine(message)}${tail}`;
}

/** An error is printed by the line: the vendor’s text must not write lines that look like ours. */
const oneLine = (text: string) => text.slice(0, MAX_TEXT).replaceAll(/\s+/g, ' ').trim();

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
