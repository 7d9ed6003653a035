import { randomBytes, scrypt } from 'node:crypto';
import * as z from 'zod';
import type { ModemFile } from '../../../base/json-file.js';

const DIGEST_BYTES = 32;

/** A PIN that was entered, and not taken as far as is known. The PIN itself is kept nowhere. */
const triedSchema = z.object({
  iccid: z.string().nullable(),
  salt: z.string(),
  digest: z.string(),
  /** The SIM has refused it. */
  refused: z.boolean(),
});
const savedSchema = z.object({ pin: triedSchema.nullable() });
type Tried = z.output<typeof triedSchema>;

/** Remembers whether the configured PIN may be entered: each wrong try is one of three, also after a restart. */
export function createPinTries(pin: string, saved: unknown, file: ModemFile) {
  let tried: Tried | null = savedSchema.safeParse(saved).data?.pin ?? null;

  async function keep(next: Tried | null): Promise<void> {
    if (next === tried) return;
    tried = next;
    await file.write({ pin: next });
  }

  return {
    /** Not the same PIN again into the same SIM; one that does not tell its ICCID is taken for the same. */
    async mayEnter(iccid: string | undefined): Promise<boolean> {
      if (tried === null) return true;
      if (iccid !== undefined && tried.iccid !== null && tried.iccid !== iccid) return true;
      return tried.digest !== (await digest(pin, tried.salt));
    },

    /** It is about to be entered: noted before, as nobody knows what comes between. */
    async entering(iccid: string | undefined): Promise<void> {
      const salt = randomBytes(16).toString('hex');
      await keep({ iccid: iccid ?? null, salt, digest: await digest(pin, salt), refused: false });
    },

    taken: (): Promise<void> => keep(null),
    refused: (): Promise<void> => keep(tried && { ...tried, refused: true }),
    /** The SIM does not ask for a PIN: one of which nobody knew whether it was taken was. */
    notAsked: (): Promise<void> => (tried?.refused === false ? keep(null) : Promise.resolve()),
  };
}

/** Slow on purpose: a PIN has few digits. */
const digest = (pin: string, salt: string): Promise<string> =>
  new Promise((resolve, reject) => {
    scrypt(pin, salt, DIGEST_BYTES, (error, key) => (error === null ? resolve(key.toString('hex')) : reject(error)));
  });
