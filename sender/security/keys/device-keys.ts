import { SupersimError } from '../../../shared/errors.js';
import { deviceMasterSecret, type SharedKey } from '../../../shared/oscore/identities.js';
import { type KeyFile, keyIdOf } from '../../../shared/oscore/key-file.js';
import type { KeyStore } from '../store/key-store.js';
import { currentFleetKey } from './fleet-keys.js';
import { isIssued, isUsable, isUsed, type KnownKey, type KnownKeys, type UsableKey } from './known-keys.js';
import { recordSim, type Sim } from './sims.js';

/** Most keys on a device. */
const MAX_DEVICE_KEYS = 8;

/** What is stored of a new key besides the key itself. */
interface KeySettings {
  readonly fleetKey?: string | undefined;
  readonly allow?: readonly string[] | undefined;
  readonly sendsKidContext?: boolean | undefined;
}

/** A key for a device, and the one that goes on being used until the device has this one. */
export interface IssuedKey {
  readonly key: UsableKey;
  /** The id of the other. */
  readonly until: string | undefined;
}

/**
 * Derives the key of a SIM's device from the current fleet key, and records it; or returns the one that it has. Within a
 * transaction.
 *
 * @param deviceId default: the one that it has with this fleet key, else the ICCID
 * @param allow replaces what is recorded of a key that is there
 * @throws SupersimError `bad-input` where the device may not have it, `keys-unusable`
 */
export function issueKey(
  store: KeyStore,
  keys: KnownKeys,
  sim: Sim,
  { deviceId, allow }: { readonly deviceId?: string | undefined; readonly allow?: readonly string[] | undefined },
): IssuedKey {
  const fleet = currentFleetKey(store);
  if (fleet?.secret === undefined) throw noFleetKey();
  const { id: fleetKey, kid, secret } = fleet;
  const again = keys
    .ofSim({ sid: sim.sid })
    .find(
      (key) =>
        key.fleetKey === fleetKey && key.kid === kid && isInUse(key) && key.deviceId === (deviceId ?? key.deviceId),
    );
  const id = again?.deviceId ?? deviceId ?? sim.iccid;
  if (id === undefined) {
    throw new SupersimError('bad-input', `the API tells no ICCID of the SIM ${sim.sid}: name its device with --device`);
  }
  const masterSecret = deviceMasterSecret(secret, id);
  return storeKey(store, keys, sim, { masterSecret, deviceId: id, kid }, { fleetKey, allow });
}

/**
 * Records a key from a device's key file. Within a transaction.
 *
 * @throws SupersimError `bad-input` where the device may not have it, `keys-unusable`
 */
export const importKey = (
  store: KeyStore,
  keys: KnownKeys,
  sim: Sim,
  { allow, ...shared }: KeyFile,
  sendsKidContext: boolean,
): IssuedKey => storeKey(store, keys, sim, shared, { allow, sendsKidContext });

/**
 * Makes an issued key the one that requests use; the one before becomes a former one. Within a transaction.
 *
 * @throws SupersimError `key-revoked` when it can be used no more, `keys-unusable`
 */
export function useKey(store: KeyStore, keyId: string): void {
  const values = [keyId];
  if (store.get("SELECT 1 FROM device_keys WHERE id = ? AND state IN ('issued', 'used')", values) === undefined) {
    throw new SupersimError('key-revoked', `the key ${keyId} was revoked or replaced meanwhile`);
  }
  store.run(
    `UPDATE device_keys SET state = 'former'
      WHERE state = 'used' AND id <> ? AND sid = (SELECT sid FROM device_keys WHERE id = ?)`,
    [keyId, keyId],
  );
  store.run("UPDATE device_keys SET state = 'used' WHERE id = ?", values);
}

const isInUse = (key: KnownKey) => isUsed(key) || isIssued(key);

function storeKey(store: KeyStore, keys: KnownKeys, sim: Sim, shared: SharedKey, settings: KeySettings): IssuedKey {
  const id = keyIdOf(shared);
  const { sid } = sim;
  const others = keys.ofDevice(shared.deviceId).filter((key) => key.id !== id);
  const known = keys.byId(id);
  refuseKnown(known, sim);
  refuseBeside(others, shared, settings.fleetKey);
  if (known === undefined) refuseMore(others, shared.deviceId);
  recordSim(store, sim);
  const used = keys.ofSim({ sid }).find((each) => isUsed(each) && each.id !== id);
  const state = used === undefined ? 'used' : 'issued';
  writeKey(store, { id, sid, ...shared, ...settings, state });
  const key = keys.byId(id);
  if (key === undefined || !isUsable(key)) throw new Error('the key was not stored');
  return { key, until: used?.id };
}

/** @throws SupersimError `bad-input` when this very key may not be used, or not for this SIM */
function refuseKnown(known: KnownKey | undefined, { sid }: Sim): void {
  if (known === undefined) return;
  const { deviceId, kid, state } = known;
  if (state === 'revoked') throw revoked(deviceId);
  if (state === 'foreign') {
    throw new SupersimError(
      'bad-input',
      `the kid ${kid} on ${deviceId} is that of the installation that this file was copied from`,
      { remedy: 'Have a key file made for this installation, with a kid of its own.' },
    );
  }
  if (known.sid === sid) return;
  throw new SupersimError('bad-input', `the key of the device ${deviceId} is recorded for the SIM ${known.sid}`, {
    remedy: 'Name another --device for this SIM, and give its device the new key file.',
  });
}

/** @throws SupersimError `bad-input` when a thief of the device knows the key, or its kid is another key's */
function refuseBeside(others: readonly KnownKey[], { masterSecret, deviceId, kid }: SharedKey, fleetKey?: string) {
  const isExposed = (key: KnownKey) =>
    key.state === 'revoked' &&
    ((fleetKey !== undefined && key.fleetKey === fleetKey) || key.masterSecret?.equals(masterSecret) === true);
  if (others.some(isExposed)) throw revoked(deviceId);
  if (!others.some((key) => key.kid === kid)) return;
  throw new SupersimError('bad-input', `the device ${deviceId} has another key with the kid ${kid}`, {
    remedy: 'Make a fleet key with another kid: `supersim keys rotate`.',
  });
}

function refuseMore(others: readonly KnownKey[], deviceId: string): void {
  if (others.filter(({ state }) => state !== 'revoked').length < MAX_DEVICE_KEYS) return;
  throw new SupersimError(
    'bad-input',
    `the device ${deviceId} has ${MAX_DEVICE_KEYS} keys, the most that it can have`,
    {
      remedy:
        'Delete the files of former keys on the device, and revoke the fleet keys of these: `supersim keys revoke KEYID`.',
    },
  );
}

const revoked = (deviceId: string) =>
  new SupersimError('bad-input', `the key of the device ${deviceId} was revoked: who has it knows this one too`, {
    remedy: 'Make another fleet key with `supersim keys rotate`, or name another device id with --device.',
  });

const noFleetKey = () =>
  new SupersimError('bad-input', 'there is no fleet key', {
    remedy: '`supersim keys new` makes one; `supersim keys import` takes one from a backup.',
  });

interface StoredKey extends SharedKey, KeySettings {
  readonly id: string;
  readonly sid: string;
  readonly state: 'used' | 'issued';
}

/** What is not given stays as it is recorded. */
function writeKey(store: KeyStore, key: StoredKey): void {
  const { id, sid, deviceId, fleetKey, masterSecret, kid, allow, sendsKidContext, state } = key;
  const allowed = allow === undefined ? null : JSON.stringify(allow);
  const flag = sendsKidContext === undefined ? null : Number(sendsKidContext);
  store.run(
    `INSERT INTO device_keys (id, sid, device_id, fleet_key, secret, kid, allow, sends_kid_context, state)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET allow = COALESCE(?, allow), sends_kid_context = COALESCE(?, sends_kid_context),
        state = excluded.state`,
    [
      id,
      sid,
      deviceId,
      fleetKey ?? null,
      fleetKey === undefined ? masterSecret : null,
      kid,
      allowed,
      flag ?? 0,
      state,
      allowed,
      flag,
    ],
  );
}
