import { realpathSync } from 'node:fs';
import * as z from 'zod';
import { SupersimError } from '../../../shared/errors.js';
import type { Installation } from '../store/create-key-store.js';
import type { KeyStore } from '../store/key-store.js';
import { readRow } from '../store/rows.js';
import { chooseKid, type FleetKey, fleetKeys, knownKids } from './fleet-keys.js';

/** What has become of a file that was made an installation of its own. */
export interface Rebound {
  /** The fleet keys that are not revoked, with their new kids. */
  readonly fleetKeys: readonly FleetKey[];
  /** How many SIMs had a key, and need a new key file. */
  readonly sims: number;
}

const countSchema = z.object({ count: z.int() });

/**
 * Makes a copied file an installation of its own, here: with new kids, so that what it protects is not what the original
 * does under the same number. All keys of devices are those of the original from now on. Within a transaction.
 *
 * @param wanted the kid of the current fleet key; default: a random one
 * @throws SupersimError `bad-input` for a kid that is taken, `keys-unusable`
 */
export function rebind(store: KeyStore, { machine, tag }: Installation, wanted?: number): Rebound {
  const path = realpathSync(store.path);
  const sql = "SELECT count(DISTINCT sid) AS count FROM device_keys WHERE state IN ('used', 'issued')";
  const sims = readRow(store, countSchema, sql)?.count ?? 0;
  const taken = new Set(knownKids(store));
  const usable = fleetKeys(store).filter(({ secret }) => secret !== undefined);
  if (wanted !== undefined && !usable.some(({ isCurrent }) => isCurrent)) {
    throw new SupersimError('bad-input', 'there is no current fleet key that could have this kid');
  }
  // The current one first: no other may take the kid that is wanted for it.
  const ordered = usable.toSorted((one, other) => Number(other.isCurrent) - Number(one.isCurrent));
  const rebound = ordered.map((key) => {
    const kid = chooseKid(taken, key.isCurrent ? wanted : undefined);
    taken.add(kid);
    store.run('UPDATE fleet_keys SET kid = ? WHERE id = ?', [kid, key.id]);
    return { ...key, kid };
  });
  store.run('UPDATE installation SET machine = ?, path = ?, tag = ?', [machine, path, tag]);
  store.run("UPDATE device_keys SET state = 'foreign' WHERE state <> 'revoked'");
  return { fleetKeys: rebound, sims };
}
