import { ERRORS, type ErrorCode, type ErrorEntry, type WireForm } from '../../shared/errors.js';
import { hasCutMark } from '../../shared/format/cut.js';
import type { JournalIdentity } from '../../shared/format/journal-identity.js';
import { isRecord } from '../../shared/format/value.js';
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

/** How a command ended. */
export type RequestEnding =
  | {
      readonly outcome: 'done';
      /** What the handler returned; undefined when that was nothing. */
      readonly result: unknown;
      /** Set when `result` is only the beginning of what the handler returned. */
      readonly cut?: true;
      /** Set when the device could not check the deadline, as its clock is not synchronised, and ran the command. */
      readonly clockSynchronized?: false;
      /**
       * Set when the command was done at an earlier copy of the request, and the device no longer has its result:
       * `result` is undefined, whatever the handler returned.
       */
      readonly forgotten?: true;
      /** The identity of the device's journal, where the request asked for it and the device answered that. */
      readonly journal?: JournalIdentity;
    }
  | {
      readonly outcome: Exclude<Outcome, 'done'>;
      readonly error: RequestError;
      /** As for `done`. */
      readonly journal?: JournalIdentity;
    };

/**
 * Tells whether a result is in the agent's form for one of which only the beginning is there: `{ cut, bytes, head }`, or
 * text or bytes that end with the cut mark.
 */
export function isCut(result: unknown): boolean {
  if (typeof result === 'string') return hasCutMark(result);
  if (result instanceof Uint8Array) return hasCutMark(Buffer.from(result).toString());
  return isRecord(result) && result['cut'] === true && typeof result['bytes'] === 'number' && 'head' in result;
}

/** What a reply says beside the result of a command that is done. */
export type DoneMarks = Omit<Extract<RequestEnding, { readonly outcome: 'done' }>, 'outcome' | 'result' | 'cut'>;

/** Times in milliseconds since `request()` was called. */
export interface Timings {
  /** The API accepted the command. */
  readonly sent?: number;
  /** The device reported that it received the command and answers later. */
  readonly accepted?: number;
  readonly ended: number;
}

/** How a request ended, and what it took. */
export type RequestResult = RequestEnding & {
  /**
   * Whether the device's answer was protected with the SIM's key and verified: nobody else can have written it. False
   * without a key, and for an outcome that is not the device's word, such as `no-answer`.
   */
  readonly authentic: boolean;
  /** Most posts of one datagram: 1 when none was repeated, 0 when nothing was posted. */
  readonly attempts: number;
  /**
   * API calls: datagrams posted, and pages of the list read meanwhile. A page counts for each request that waited for
   * it; retries within the client are not counted.
   */
  readonly apiCalls: number;
  readonly timings: Timings;
};

/** Makes an ending other than `done`. */
export const makeEnding = (
  outcome: Exclude<Outcome, 'done'>,
  code: ErrorCode,
  message: string,
  details: Partial<Pick<RequestError, 'coapCode' | 'vendorCode' | 'remedy'>> = {},
): RequestEnding => ({ outcome, error: { code, message, remedy: ERRORS[code].remedy, ...details } });

const entries: Readonly<Record<ErrorCode, ErrorEntry>> = ERRORS;

export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code);

export const ERROR_CODES: readonly ErrorCode[] = Object.keys(ERRORS).filter(isErrorCode);

/** Returns a code's form on the wire; undefined for one that no device answers with. */
export const wireOf = (code: ErrorCode): WireForm | undefined => entries[code].wire;

/** What an error reply says beside its code and message. */
export interface ErrorDetails extends Pick<RequestError, 'coapCode'> {
  /** Set when the device could not record its refusal: a late copy of the command may still run. */
  readonly recorded?: false;
  readonly journal?: JournalIdentity;
}

/**
 * Interprets an error reply: the list of errors has the outcome of each code.
 *
 * @param code as the device wrote it; a newer agent may have codes that are not in the list
 * @param fallback used for such a code
 */
export function interpretError(
  code: string | undefined,
  message: string,
  fallback: ErrorCode,
  { recorded, journal, ...details }: ErrorDetails = {},
): { readonly type: 'accepted' | 'unrecorded' } | { readonly type: 'end'; readonly ending: RequestEnding } {
  const known = code !== undefined && isErrorCode(code) && wireOf(code) !== undefined ? code : fallback;
  const outcome = wireOf(known)?.outcome;
  if (outcome === 'accepted') return { type: 'accepted' };
  if (outcome === 'refused' && recorded === false) return { type: 'unrecorded' };
  const final = outcome === undefined || outcome === 'done' ? 'failed' : outcome;
  const ending = makeEnding(final, known, message, details);
  return { type: 'end', ending: journal === undefined ? ending : { ...ending, journal } };
}
