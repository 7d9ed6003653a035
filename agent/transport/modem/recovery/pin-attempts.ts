import { randomBytes, scrypt } from 'node:crypto';
import * as z from 'zod';
import type { JsonFile } from '../../../base/json-file.js';

const DIGEST_BYTES = 32;

/** A PIN that was entered and not accepted as far as is known. The PIN itself is stored nowhere. */
const attemptSchema = z.object({
  iccid: z.string().nullable(),
  salt: z.string(),
  digest: z.string(),
  /** Whether the SIM refused it. */
  refused: z.boolean(),
});
const savedSchema = z.object({ pin: attemptSchema.nullable() });
type Attempt = z.output<typeof attemptSchema>;

/**
 * Remembers, also over a restart, whether the configured PIN was entered without success: a SIM blocks itself after
 * three wrong PINs.
 */
export function createPinAttempts(pin: string, saved: unknown, file: JsonFile) {
  let last: Attempt | null = savedSchema.safeParse(saved).data?.pin ?? null;

  async function save(next: Attempt | null): Promise<void> {
    if (next === last) return;
    last = next;
    await file.write({ pin: next });
  }

  return {
    /**
     * Whether the PIN may be entered: not twice into one SIM. A SIM that does not report its ICCID counts as the same.
     */
    async mayEnter(iccid: string | undefined): Promise<boolean> {
      if (last === null) return true;
      if (iccid !== undefined && last.iccid !== null && last.iccid !== iccid) return true;
      return last.digest !== (await digest(pin, last.salt));
    },

    /** The PIN is about to be entered. It is stored before, as a crash may follow. */
    async recordAttempt(iccid: string | undefined): Promise<void> {
      const salt = randomBytes(16).toString('hex');
      await save({ iccid: iccid ?? null, salt, digest: await digest(pin, salt), refused: false });
    },

    recordAccepted: (): Promise<void> => save(null),
    recordRefused: (): Promise<void> => save(last && { ...last, refused: true }),
    /** The SIM does not ask for a PIN: an attempt whose result was unknown has succeeded. */
    recordUnlocked: (): Promise<void> => (last?.refused === false ? save(null) : Promise.resolve()),
  };
}

/** Hashes slowly on purpose: a PIN has few digits. */
const digest = (pin: string, salt: string): Promise<string> =>
  new Promise((resolve, reject) => {
    scrypt(pin, salt, DIGEST_BYTES, (error, key) => (error === null ? resolve(key.toString('hex')) : reject(error)));
  });
