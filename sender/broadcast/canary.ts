import { SupersimError } from '../../shared/errors.js';

/** A canary release: some SIMs are asked first, and the others only if few enough of these fail. */
export interface Canary {
  /** The share of all SIMs that go first, above 0 to 1; at least one SIM. */
  readonly share: number;
  /** The greatest share of them that may end other than `done`, 0 to 1. */
  readonly abortAbove: number;
}

/** The SIMs that go first, and how many of them have ended so far. */
export interface CanaryGroup {
  readonly count: number;
  /** Most of them that may end other than `done`. */
  readonly maxFailed: number;
  ended: number;
  failed: number;
}

/**
 * @param total how many SIMs there are
 * @param earlier how many of the group ended in an earlier process
 */
export function createCanaryGroup(canary: Canary, total: number, earlier = { ended: 0, failed: 0 }): CanaryGroup {
  const count = canaryCount(canary, total);
  return { count, maxFailed: canary.abortAbove * count, ...earlier };
}

export const canaryCount = ({ share }: Canary, total: number): number =>
  Math.min(total, Math.max(1, Math.round(total * share)));

export const hasFailed = ({ failed, maxFailed }: CanaryGroup): boolean => failed > maxFailed;

export const canaryError = ({ failed, ended, count }: CanaryGroup) =>
  new SupersimError('canary-failed', `${failed} of the ${ended} canary SIMs that ended are not done (of ${count})`);
