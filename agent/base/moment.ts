import { readFileSync } from 'node:fs';

/**
 * A moment, by two clocks. The wall clock may jump both ways (a gateway without a battery-backed clock starts with a
 * wrong one, and is set later); the monotonic one does not, but means something only within its boot.
 */
export interface Moment {
  /** Unix milliseconds. */
  readonly wall: number;
  /** Milliseconds since the boot: CLOCK_MONOTONIC, which is the same for all processes of a boot. */
  readonly monotonic: number;
  /** The kernel's random id of the boot. */
  readonly boot: string;
}

export type Clock = () => Moment;

/** This machine's clock. Where the kernel gives no boot id each process is a boot of its own. */
export function systemClock(bootIdFile = '/proc/sys/kernel/random/boot_id'): Clock {
  const boot = readBootId(bootIdFile);
  return () => ({ wall: Date.now(), monotonic: Number(process.hrtime.bigint() / 1_000_000n), boot });
}

function readBootId(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return crypto.randomUUID();
  }
}

/** How long ago a moment was: what is certain, what the wall clock says, and what cannot be excluded. */
export interface Age {
  readonly least: number;
  readonly likely: number;
  readonly most: number;
}

/**
 * The age of a moment in milliseconds, never negative.
 *
 * Within a boot the monotonic clock tells it exactly, whatever the wall clock does. After another boot only this is
 * certain: it is older than this boot. So a promise to keep something is held by `least`, and a permission that ends
 * with time by `most`, which is endless when the wall clock stands before the moment: an old command must not run
 * because the clock went back, and a stored reply must not go because it went forward.
 */
export function ageOf(moment: Moment, now: Moment): Age {
  if (moment.boot === now.boot) {
    const exact = Math.max(0, now.monotonic - moment.monotonic);
    return { least: exact, likely: exact, most: exact };
  }
  const least = Math.max(0, now.monotonic);
  const wall = now.wall - moment.wall;
  const likely = Math.max(least, wall);
  return { least, likely, most: wall < 0 ? Number.POSITIVE_INFINITY : likely };
}
