import type { ErrorCode, SupersimError } from '../../shared/errors.js';

/** Severities in rising order. A `note` is no verdict: the check does not apply, or could not be carried out. */
export const SEVERITIES = ['good', 'note', 'warning', 'error'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What a check inspected, what it found, and what to do. */
export interface Judgement {
  readonly severity: Severity;
  readonly looked: string;
  readonly found: string;
  /** What to do; for a note, how to find out more. */
  readonly remedy?: string | undefined;
  /** Code of the list of errors, where one fits. */
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

export const failure = (looked: string, found: string, remedy: string, code?: ErrorCode): Judgement => ({
  severity: 'error',
  looked,
  found,
  remedy,
  code,
});

export const fromError = (looked: string, { code, message, remedy }: SupersimError): Judgement =>
  failure(looked, message, remedy, code);

export const worstOf = (findings: readonly Judgement[]): Severity =>
  SEVERITIES.findLast((severity) => findings.some((finding) => finding.severity === severity)) ?? 'good';
