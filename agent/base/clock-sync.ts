const CACHE_MS = 60_000;
const TIMEDATECTL_TIMEOUT_MS = 3000;

/** Whether the system's clock is synchronised; not knowing counts as not. */
export type ClockCheck = () => Promise<boolean>;

/** Asks systemd, at most once a minute; all who ask meanwhile share the answer. */
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

/** Whether systemd takes the clock for synchronised; undefined where it cannot be asked. */
export async function askTimedatectl(): Promise<boolean | undefined> {
  // Not needed at the start, and slow to load.
  const { execFile } = await import('node:child_process');
  return new Promise((resolve) => {
    const options = { timeout: TIMEDATECTL_TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: 4096 } as const;
    execFile('timedatectl', ['show', '--property=NTPSynchronized', '--value'], options, (error, stdout) => {
      resolve(error === null ? stdout.trim() === 'yes' : undefined);
    });
  });
}
