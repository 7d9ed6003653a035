import { ERRORS, type ErrorCode, type ErrorEntry, type WireForm } from '../../shared/errors.js';
import type { Outcome } from '../../shared/outcome.js';

/** Why a command is not `done`. */
export interface RequestError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
  /** The response's CoAP code, such as `4.04`, where the error came in one. */
  readonly coapCode?: string;
  /** The vendor's code, such as 83401, where it is known. */
  readonly vendorCode?: number;
}

/** What a command came to. */
export type Ending =
  | {
      readonly outcome: 'done';
      /** What the handler returned; undefined when that was nothing. */
      readonly result: unknown;
      /** Set when the command ran but `result` is not all that it returned. */
      readonly cut?: true;
      /** Set when the device ran it although its clock could not tell whether the deadline had passed. */
      readonly clockSynchronized?: false;
    }
  | { readonly outcome: Exclude<Outcome, 'done'>; readonly error: RequestError };

/** When it happened, in milliseconds since `request()` was called. */
export interface Timings {
  /** The API took the command. */
  readonly sent?: number;
  /** The device said that it has the command and will answer later. */
  readonly accepted?: number;
  readonly ended: number;
}

/** How a request ended, and what that took. */
export type RequestResult = Ending & {
  /** Most times that one datagram was posted: 1 when nothing was repeated, 0 when nothing was posted. */
  readonly attempts: number;
  /**
   * Calls of the API: posted datagrams, and pages of the list that were read meanwhile. Pages that several requests
   * waited for count for each; retries within the client count for none.
   */
  readonly apiCalls: number;
  readonly timings: Timings;
};

/** An ending that is no success. */
export const ending = (
  outcome: Exclude<Outcome, 'done'>,
  code: ErrorCode,
  message: string,
  details: Pick<RequestError, 'coapCode' | 'vendorCode'> = {},
): Ending => ({ outcome, error: { code, message, remedy: ERRORS[code].remedy, ...details } });

const entries: Readonly<Record<ErrorCode, ErrorEntry>> = ERRORS;

export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code);

export const ERROR_CODES: readonly ErrorCode[] = Object.keys(ERRORS).filter(isErrorCode);

/** What a code says on the wire; undefined for one that no device answers. */
export const wireOf = (code: ErrorCode): WireForm | undefined => entries[code].wire;

/**
 * What an error reply means: its outcome stands beside its code in the list of errors.
 *
 * @param code as the device wrote it; a newer agent may have codes that this list has not
 * @param fallback taken instead of a code that is not known
 */
export function errorSign(
  code: string | undefined,
  message: string,
  fallback: ErrorCode,
  details: Pick<RequestError, 'coapCode'> = {},
): { readonly type: 'accepted' } | { readonly type: 'end'; readonly ending: Ending } {
  const known = code !== undefined && isErrorCode(code) && wireOf(code) !== undefined ? code : fallback;
  const outcome = wireOf(known)?.outcome;
  if (outcome === 'accepted') return { type: 'accepted' };
  const told = outcome === undefined || outcome === 'done' ? 'failed' : outcome;
  return { type: 'end', ending: ending(told, known, message, details) };
}
