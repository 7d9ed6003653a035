import { readFileSync } from 'node:fs';
import * as z from 'zod';

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

/**
 * A point in time by two clocks. The wall clock may jump both ways (a gateway without a battery-backed clock starts
 * with the wrong time and is set later); the monotonic clock does not jump, but can be compared only within one boot.
 */
export interface Moment {
  /** Unix milliseconds. */
  readonly wall: number;
  /** Milliseconds since the boot: CLOCK_MONOTONIC, which is the same for all processes of a boot. */
  readonly monotonic: number;
  /** Random ID that the kernel gives each boot. */
  readonly boot: string;
}

/** A moment as it was stored. */
export const momentSchema = z.object({ wall: z.number(), monotonic: z.number(), boot: z.string() });

export type Clock = () => Moment;

/** Returns this machine's clock. */
export function systemClock(bootIdFile = BOOT_ID_FILE): Clock {
  const boot = readBootId(bootIdFile);
  // performance.now() is the same clock from another start, and takes a fifth of the time.
  const start = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  return () => ({ wall: Date.now(), monotonic: Math.floor(start + performance.now()), boot });
}

/** Returns the kernel's ID of this boot. Where there is none, each process counts as a boot of its own. */
export function readBootId(file = BOOT_ID_FILE): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return crypto.randomUUID();
  }
}

/** The age of a moment in milliseconds: a lower bound, the age by the wall clock, and an upper bound. */
export interface Age {
  readonly least: number;
  readonly likely: number;
  readonly most: number;
}

/**
 * Returns the age of a moment in milliseconds, never negative.
 *
 * Within one boot the monotonic clock gives it exactly, whatever the wall clock does. After a reboot only a lower bound
 * is certain: the moment is older than the boot. Use `least` for how long something must be kept, and `most` for what
 * expires; `most` is infinite when the wall clock reads earlier than the moment. So an old command does not run because
 * the clock went back, and a stored reply is not deleted because it went forward.
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
