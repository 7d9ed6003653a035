import * as z from 'zod';
import {
  deviceMasterSecret,
  FLEET_KEY_BYTES,
  MASTER_SECRET_BYTES,
  operatorContext,
} from '../../../shared/oscore/identities.js';
import { allowSchema, deviceIdSchema, keyIdOf, kidSchema } from '../../../shared/oscore/key-file.js';
import { readBytes, readJson, readText } from '../../../shared/sqlite/columns.js';
import type { SqlValue } from '../../../shared/sqlite/native.js';
import { evictOldest } from '../../base/evict-oldest.js';
import { type KeyStore, unusableKeys } from '../store/key-store.js';
import { readRow, readRows } from '../store/rows.js';
import type { OperatorKey, SimNames } from './operator-key.js';

/**
 * What becomes of a key in its life: made for a device, in use, replaced by another; or never to be used again, because it
 * was revoked, or because it belongs to the installation that this file was copied from.
 */
export const KEY_STATES = ['issued', 'used', 'former', 'revoked', 'foreign'] as const;
export type KeyState = (typeof KEY_STATES)[number];

interface KeyRecord {
  readonly id: string;
  /** SID of the SIM. */
  readonly sid: string;
  readonly deviceId: string;
  readonly kid: number;
  /** The commands that the device's key file allows; undefined for all. */
  readonly allow: readonly string[] | undefined;
  /** The fleet key that it is derived from, if it is. */
  readonly fleetKey: string | undefined;
}

/** A key that may protect requests, and the secret that it is derived from. */
export interface UsableKey extends KeyRecord, OperatorKey {
  readonly state: 'issued' | 'used' | 'former';
  readonly masterSecret: Buffer;
}

/** A key that protects nothing any more. */
export interface EndedKey extends KeyRecord {
  readonly state: 'revoked' | 'foreign';
  /** Undefined once its fleet key was erased. */
  readonly masterSecret: Buffer | undefined;
}

export type KnownKey = UsableKey | EndedKey;

/** Tells whether a key may protect anything. */
export const isUsable = (key: KnownKey): key is UsableKey => key.state !== 'revoked' && key.state !== 'foreign';

/** Tells whether a key is the one under which requests to its SIM are protected. */
export const isUsed = (key: KnownKey): key is UsableKey => key.state === 'used';

/** Tells whether a key was made for its device and is not used yet. */
export const isIssued = (key: KnownKey): key is UsableKey => key.state === 'issued';

const MAX_CONTEXTS = 20_000;

const bytesOf = (length: number) =>
  readBytes.refine((bytes) => bytes.length === length, `must have ${length} bytes`).nullable();

const rowSchema = z.object({
  id: readText,
  sid: readText,
  device_id: readText.pipe(deviceIdSchema),
  fleet_key: readText.nullable(),
  secret: bytesOf(MASTER_SECRET_BYTES),
  fleet_secret: bytesOf(FLEET_KEY_BYTES),
  kid: kidSchema,
  allow: readJson.pipe(allowSchema).nullable(),
  sends_kid_context: z.literal([0, 1]),
  state: readText.pipe(z.enum(KEY_STATES)),
});
type Row = z.output<typeof rowSchema>;

const SELECT = `SELECT CAST(k.id AS BLOB) AS id, CAST(k.sid AS BLOB) AS sid, CAST(k.device_id AS BLOB) AS device_id,
  CAST(k.fleet_key AS BLOB) AS fleet_key, k.secret AS secret, f.secret AS fleet_secret, k.kid AS kid,
  CAST(k.allow AS BLOB) AS allow, k.sends_kid_context AS sends_kid_context, CAST(k.state AS BLOB) AS state
  FROM device_keys k LEFT JOIN fleet_keys f ON f.id = k.fleet_key`;

/** Reads the keys of devices. Each call reads the file, as other processes change it; what it derives is kept. */
export interface KnownKeys {
  /** All keys of a SIM, the oldest first; by its SID, else by its unique name, else by its ICCID. */
  ofSim(names: SimNames): readonly KnownKey[];
  /** All keys of a device, the oldest first. */
  ofDevice(deviceId: string): readonly KnownKey[];
  byId(id: string): KnownKey | undefined;
  /** Whether there is any key. */
  readonly isEmpty: boolean;
}

/** Every call throws SupersimError `keys-unusable` where the file is damaged. */
export function createKnownKeys(store: KeyStore): KnownKeys {
  const contexts = new Map<string, OperatorKey['context']>();

  const damaged = (id: string) => unusableKeys(store.path, `it is damaged: the key ${id} is not what it was`);

  function masterSecretOf({ id, secret, fleet_secret: fleetKey, device_id: deviceId, kid }: Row): Buffer | undefined {
    const masterSecret = secret ?? (fleetKey === null ? undefined : deviceMasterSecret(fleetKey, deviceId));
    if (masterSecret !== undefined && keyIdOf({ masterSecret, deviceId, kid }) !== id) throw damaged(id);
    return masterSecret;
  }

  function contextOf(id: string, shared: Parameters<typeof operatorContext>[0]): OperatorKey['context'] {
    const context = contexts.get(id) ?? operatorContext(shared);
    contexts.set(id, context);
    evictOldest(contexts, MAX_CONTEXTS);
    return context;
  }

  function keyOf(row: Row): KnownKey {
    const { id, sid, device_id: deviceId, kid, state } = row;
    const record = { id, sid, deviceId, kid, allow: row.allow ?? undefined, fleetKey: row.fleet_key ?? undefined };
    const masterSecret = masterSecretOf(row);
    if (state === 'revoked' || state === 'foreign') return { ...record, state, masterSecret };
    if (masterSecret === undefined) throw damaged(id);
    const context = contextOf(id, { masterSecret, deviceId, kid });
    return { ...record, state, masterSecret, context, sendsKidContext: row.sends_kid_context === 1 };
  }

  const select = (where: string, values: readonly SqlValue[]) =>
    readRows(store, rowSchema, `${SELECT} ${where}`, values).map(keyOf);

  return {
    ofSim(names) {
      const sid = sidOf(store, names);
      return sid === undefined ? [] : select('WHERE k.sid = ? ORDER BY k.rowid', [sid]);
    },
    ofDevice: (deviceId) => select('WHERE k.device_id = ? ORDER BY k.rowid', [deviceId]),
    byId: (id) => select('WHERE k.id = ?', [id])[0],
    get isEmpty() {
      return store.get('SELECT 1 FROM device_keys LIMIT 1') === undefined;
    },
  };
}

const sidSchema = z.object({ sid: readText });

/** Returns the SID of the SIM with a key that is known by one of these names; a SID goes before the others. */
export function sidOf(store: KeyStore, names: SimNames): string | undefined {
  const [sid, uniqueName, iccid] = [names.sid ?? null, names.uniqueName ?? null, names.iccid ?? null];
  const sql = `SELECT CAST(sid AS BLOB) AS sid FROM devices WHERE sid = ? OR unique_name = ? OR iccid = ?
    ORDER BY sid = ? DESC, unique_name = ? DESC LIMIT 1`;
  return readRow(store, sidSchema, sql, [sid, uniqueName, iccid, sid, uniqueName])?.sid;
}
