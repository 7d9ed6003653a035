import { createHash, randomBytes, randomInt } from 'node:crypto';
import * as z from 'zod';
import { SupersimError } from '../../../shared/errors.js';
import { FLEET_KEY_BYTES, MAX_KID } from '../../../shared/oscore/identities.js';
import { kidSchema } from '../../../shared/oscore/key-file.js';
import { readBytes, readText } from '../../../shared/sqlite/columns.js';
import { type KeyStore, unusableKeys } from '../store/key-store.js';
import { readRows } from '../store/rows.js';

/** A fleet key of this installation. */
export interface FleetKey {
  /** Tells keys apart without showing them. */
  readonly id: string;
  /** Undefined once it was revoked. */
  readonly secret: Buffer | undefined;
  /** This installation's, on devices whose keys are derived from it: 1 to 255. */
  readonly kid: number;
  /** Whether new key files are made from it. */
  readonly isCurrent: boolean;
  readonly createdAt: string;
}

const ID_DIGITS = 16;

/** Makes a fleet key. */
export const newFleetSecret = (): Buffer => randomBytes(FLEET_KEY_BYTES);

/** Returns a fleet key's id: the start of a digest. */
export const fleetKeyIdOf = (secret: Buffer): string =>
  createHash('sha256').update('supersim fleet key ').update(secret).digest('hex').slice(0, ID_DIGITS);

const rowSchema = z.object({
  id: readText,
  secret: readBytes.refine((bytes) => bytes.length === FLEET_KEY_BYTES, 'has another length').nullable(),
  kid: kidSchema,
  is_current: z.literal([0, 1]),
  created_at: readText,
});

/**
 * Reads all fleet keys, the oldest first.
 *
 * @throws SupersimError `keys-unusable`
 */
export function fleetKeys(store: KeyStore): readonly FleetKey[] {
  const sql = `SELECT CAST(id AS BLOB) AS id, secret, kid, is_current, CAST(created_at AS BLOB) AS created_at
    FROM fleet_keys ORDER BY rowid`;
  return readRows(store, rowSchema, sql).map(({ id, secret, kid, is_current, created_at }) => {
    if (secret !== null && fleetKeyIdOf(secret) !== id) {
      throw unusableKeys(store.path, `it is damaged: the fleet key ${id} is not what it was`);
    }
    return { id, secret: secret ?? undefined, kid, isCurrent: is_current === 1, createdAt: created_at };
  });
}

/** Returns the fleet key that new key files are made from. */
export const currentFleetKey = (store: KeyStore): FleetKey | undefined =>
  fleetKeys(store).find(({ isCurrent }) => isCurrent);

/**
 * Adds a fleet key, or takes one that is there, and makes it current. Within a transaction.
 *
 * @param wanted its kid; default: a random one
 * @throws SupersimError `bad-input` for a kid that is taken, and a key that was revoked; `keys-unusable`
 */
export function addFleetKey(store: KeyStore, secret: Buffer, wanted?: number): FleetKey {
  const id = fleetKeyIdOf(secret);
  const known = fleetKeys(store).find((key) => key.id === id);
  if (known !== undefined) refuseAgain(known, wanted);
  const kid = known?.kid ?? chooseKid(knownKids(store), wanted);
  const added = known ?? { id, secret, kid, createdAt: new Date().toISOString() };
  store.run('UPDATE fleet_keys SET is_current = 0');
  store.run(
    `INSERT INTO fleet_keys (id, secret, kid, is_current, created_at) VALUES (?, ?, ?, 1, ?)
      ON CONFLICT (id) DO UPDATE SET is_current = 1`,
    [id, secret, kid, added.createdAt],
  );
  return { ...added, isCurrent: true };
}

function refuseAgain({ id, secret, kid }: FleetKey, wanted: number | undefined): void {
  if (secret === undefined) throw new SupersimError('bad-input', `the fleet key ${id} was revoked`);
  if (wanted === undefined || wanted === kid) return;
  throw new SupersimError('bad-input', `the fleet key ${id} has the kid ${kid} already`);
}

const kidRowSchema = z.object({ kid: kidSchema });

/** The kids that the file knows, of all keys that ever were. */
export const knownKids = (store: KeyStore): ReadonlySet<number> =>
  new Set(
    readRows(store, kidRowSchema, 'SELECT kid FROM fleet_keys UNION SELECT kid FROM device_keys').map(({ kid }) => kid),
  );

/**
 * Chooses a kid: at random, as other installations choose theirs without knowing this one's.
 *
 * @throws SupersimError `bad-input` when it is taken, or all are
 */
export function chooseKid(taken: ReadonlySet<number>, wanted?: number): number {
  if (wanted !== undefined) {
    if (!taken.has(wanted)) return wanted;
    throw new SupersimError('bad-input', `the kid ${wanted} is taken by another key`);
  }
  const free = Array.from({ length: MAX_KID }, (_, index) => index + 1).filter((kid) => !taken.has(kid));
  const kid = free.length === 0 ? undefined : free[randomInt(free.length)];
  if (kid === undefined) throw new SupersimError('bad-input', `all kids from 1 to ${MAX_KID} are taken by other keys`);
  return kid;
}
