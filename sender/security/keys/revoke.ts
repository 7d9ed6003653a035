import * as z from 'zod';
import { SupersimError } from '../../../shared/errors.js';
import type { KeyStore } from '../store/key-store.js';
import { readRow } from '../store/rows.js';
import { fleetKeys } from './fleet-keys.js';
import type { KnownKey, KnownKeys } from './known-keys.js';

/**
 * Revokes all keys of SIMs: requests to them fail from now on. Within a transaction.
 *
 * @param sids SIDs of the SIMs
 * @returns the keys whose files are to be deleted on the devices
 * @throws SupersimError `keys-unusable`
 */
export function revokeSims(store: KeyStore, keys: KnownKeys, sids: readonly string[]): KnownKey[] {
  return sids.flatMap((sid) => {
    const revoked = keys.ofSim({ sid }).filter(({ state }) => state !== 'revoked');
    store.run("UPDATE device_keys SET state = 'revoked' WHERE sid = ?", [sid]);
    return revoked;
  });
}

const countSchema = z.object({ count: z.int() });

/** Counts the SIMs with a key of a fleet key that is used, or has been made for them. */
export function simsWith(store: KeyStore, fleetKey: string): number {
  const sql = `SELECT count(DISTINCT sid) AS count FROM device_keys
    WHERE fleet_key = ? AND state IN ('used', 'issued')`;
  return readRow(store, countSchema, sql, [fleetKey])?.count ?? 0;
}

/**
 * Revokes a fleet key that no SIM uses any more: its secret is overwritten in the file. Within a transaction.
 *
 * @throws SupersimError `bad-input` when there is none of that id, or SIMs use it; `keys-unusable`
 */
export function revokeFleetKey(store: KeyStore, id: string): void {
  if (!fleetKeys(store).some((key) => key.id === id)) {
    throw new SupersimError('bad-input', `there is no fleet key ${id}`, {
      remedy: 'List them with `supersim keys ls`.',
    });
  }
  const sims = simsWith(store, id);
  if (sims > 0) {
    throw new SupersimError(
      'bad-input',
      `${sims} ${sims === 1 ? 'SIM uses' : 'SIMs use'} keys of the fleet key ${id}`,
      {
        remedy:
          'Give their devices keys of another fleet key first (`supersim keys rotate`, `supersim keys device`, `supersim keys rotate --all`), or revoke theirs with `supersim keys revoke --sim`.',
      },
    );
  }
  store.run("UPDATE device_keys SET state = 'revoked' WHERE fleet_key = ?", [id]);
  store.run('UPDATE fleet_keys SET secret = NULL, is_current = 0 WHERE id = ?', [id]);
}
