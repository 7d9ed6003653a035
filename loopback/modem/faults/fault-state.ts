import { formatModemFaults, type ModemFaults, type ModemFaultsInput, resolveModemFaults } from './faults.js';
import { createSampler, type Sampler } from './sampler.js';

/** The faults that are set, and the chance by which they hit. */
export interface ModemFaultState {
  faults(): ModemFaults;
  seed(): number;
  sampler(): Sampler;
  /**
   * Sets the faults, and counts from 1 again.
   *
   * @throws SupersimError `bad-input` for faults that cannot be used; nothing changes then
   */
  set(faults: ModemFaultsInput, seed: number): void;
  /** Removes the faults that restart the modem after a number of bytes: they hit once. */
  disarmResets(): void;
}

export function createModemFaultState(
  initial: unknown,
  initialSeed: number,
  onSet: (written: string, seed: number) => void,
): ModemFaultState {
  let faults = resolveModemFaults(initial ?? {});
  let seed = initialSeed;
  let sampler = createSampler(seed);
  return {
    faults: () => faults,
    seed: () => seed,
    sampler: () => sampler,
    set(input, nextSeed) {
      faults = resolveModemFaults(input);
      seed = nextSeed;
      sampler = createSampler(seed);
      onSet(formatModemFaults(faults), seed);
    },
    disarmResets() {
      faults = { ...faults, resetAfterSent: 0, resetAfterHeard: 0 };
    },
  };
}
