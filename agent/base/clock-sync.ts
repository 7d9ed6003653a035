import { requireDescriptors } from './shortage.js';

const CACHE_MS = 60_000;
const TIMEDATECTL_TIMEOUT_MS = 3000;

/** Returns whether the system's clock is synchronised; false where that is unknown. */
export type ClockCheck = () => Promise<boolean>;

/** Creates a check that asks systemd at most once a minute; calls in between share the answer. */
export function createClockCheck(): ClockCheck {
  let known: { answer: Promise<boolean>; until: number } | undefined;
  return () => {
    const now = performance.now();
    if (known === undefined || now >= known.until) {
      known = { answer: askTimedatectl().then((answer) => answer === true), until: now + CACHE_MS };
    }
    return known.answer;
  };
}

/** Asks systemd whether the clock is synchronised. @returns undefined where systemd cannot be asked */
export async function askTimedatectl(): Promise<boolean | undefined> {
  // Imported here because it is slow to load and not needed at start.
  const { execFile } = await import('node:child_process');
  try {
    requireDescriptors();
  } catch {
    return undefined;
  }
  return new Promise((resolve) => {
    const options = { timeout: TIMEDATECTL_TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: 4096 } as const;
    execFile('timedatectl', ['show', '--property=NTPSynchronized', '--value'], options, (error, stdout) => {
      resolve(error === null ? stdout.trim() === 'yes' : undefined);
    });
  });
}
