import { ERRORS, type ErrorCode, type SupersimError } from '../../shared/errors.js';

/** From the best to the worst. A note judges nothing: there is nothing to look at, or it could not be looked at. */
export const SEVERITIES = ['good', 'note', 'warning', 'error'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What a check looked at, what it found, and what to do. */
export interface Judgement {
  readonly severity: Severity;
  readonly looked: string;
  readonly found: string;
  /** What to do, or for a note how more can be known. */
  readonly remedy?: string | undefined;
  /** From the list of errors, where it has one. */
  readonly code?: ErrorCode | undefined;
}

export interface Finding extends Judgement {
  /** Name of the check. */
  readonly check: string;
}

export const good = (looked: string, found: string): Judgement => ({ severity: 'good', looked, found });

export const note = (looked: string, found: string, remedy?: string, code?: ErrorCode): Judgement => ({
  severity: 'note',
  looked,
  found,
  remedy,
  code,
});

export const warning = (looked: string, found: string, remedy: string, code?: ErrorCode): Judgement => ({
  severity: 'warning',
  looked,
  found,
  remedy,
  code,
});

/** @param remedy the code's own, if none is given */
export const failure = (
  looked: string,
  found: string,
  code: ErrorCode,
  remedy: string = ERRORS[code].remedy,
): Judgement => ({ severity: 'error', looked, found, remedy, code });

/** A failure that is on no list of codes. */
export const fault = (looked: string, found: string, remedy: string): Judgement => ({
  severity: 'error',
  looked,
  found,
  remedy,
});

export const fromError = (looked: string, { code, message, remedy }: SupersimError): Judgement =>
  failure(looked, message, code, remedy);

export const worstOf = (findings: readonly Judgement[]): Severity =>
  SEVERITIES.findLast((severity) => findings.some((finding) => finding.severity === severity)) ?? 'good';
