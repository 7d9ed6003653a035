import { SupersimError } from '../../shared/errors.js';

/** Some go first; when too many of them fare badly, nobody else is asked. */
export interface Canary {
  /** How many of all SIMs, above 0 to 1; at least one. */
  readonly share: number;
  /** The greatest part of them that may end other than `done`, 0 to 1. */
  readonly abortAbove: number;
}

/** How the SIMs that go first have fared so far. */
export interface First {
  readonly count: number;
  /** Most of them that may end other than `done`. */
  readonly mayFail: number;
  ended: number;
  failed: number;
}

/**
 * @param total how many SIMs there are
 * @param earlier what is known of them from an earlier process
 */
export function firstOf(canary: Canary, total: number, earlier = { ended: 0, failed: 0 }): First {
  const count = canaryCount(canary, total);
  return { count, mayFail: canary.abortAbove * count, ...earlier };
}

export const canaryCount = ({ share }: Canary, total: number): number =>
  Math.min(total, Math.max(1, Math.round(total * share)));

export const hasFailed = ({ failed, mayFail }: First): boolean => failed > mayFail;

export const canaryFailed = ({ failed, ended, count }: First) =>
  new SupersimError('canary-failed', `of ${count} SIMs that go first ${ended} have ended, ${failed} of them not done`);
