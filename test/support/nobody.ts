const NOBODY = 65_534;

/** Runs `work` as a user without privileges; needs root. */
export async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  // Already loaded, as this user may not read wherever the repository lies.
  await import('serialport');
  process.setegid?.(NOBODY);
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}
