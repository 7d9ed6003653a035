import { createHash } from 'node:crypto';
import * as z from 'zod';
import { SupersimError } from '../../shared/errors.js';
import { deviceMasterSecret, operatorContext, type SharedKey } from '../../shared/oscore/identities.js';
import { evictOldest } from '../base/evict-oldest.js';
import { readBytes, readText } from './columns.js';
import type { KeyStore } from './key-store.js';
import type { OperatorKey, SimNames } from './operator-key.js';

/** What becomes of a key in its life: made for a device, in use, replaced by another, or never to be used again. */
export const KEY_STATES = ['issued', 'used', 'former', 'revoked'] as const;
export type KeyState = (typeof KEY_STATES)[number];

/** A key and the secret that it is derived from. */
export interface KnownKey extends OperatorKey {
  readonly state: KeyState;
  /** SID of the SIM. */
  readonly sid: string;
  /** The commands that the device's key file allows; undefined for all. */
  readonly allow: readonly string[] | undefined;
  readonly fleetKey: string | undefined;
  readonly masterSecret: Buffer;
}

const MAX_CONTEXTS = 20_000;
const ID_DIGITS = 16;

const rowSchema = z.object({
  id: readText,
  sid: readText,
  device_id: readText,
  fleet_key: readText.nullable(),
  secret: readBytes.nullable(),
  fleet_secret: readBytes.nullable(),
  kid: z.int(),
  allow: readText.nullable(),
  sends_kid_context: z.int(),
  state: readText.pipe(z.enum(KEY_STATES)),
});
const allowSchema = z.array(z.string());

const SELECT = `SELECT CAST(k.id AS BLOB) AS id, CAST(k.sid AS BLOB) AS sid, CAST(k.device_id AS BLOB) AS device_id,
  CAST(k.fleet_key AS BLOB) AS fleet_key, k.secret AS secret, f.secret AS fleet_secret, k.kid AS kid,
  CAST(k.allow AS BLOB) AS allow, k.sends_kid_context AS sends_kid_context, CAST(k.state AS BLOB) AS state
  FROM device_keys k JOIN devices d ON d.sid = k.sid LEFT JOIN fleet_keys f ON f.id = k.fleet_key`;

/** Returns the id of a key: the start of a digest. */
export const keyIdOf = ({ masterSecret, deviceId, kid }: SharedKey): string =>
  createHash('sha256').update(masterSecret).update(`${kid} ${deviceId}`).digest('hex').slice(0, ID_DIGITS);

/** Reads the keys of devices. Each call reads the file, as other processes change it; what it derives is kept. */
export interface KnownKeys {
  /** All keys of a SIM, by any of its names. */
  ofSim(names: SimNames): readonly KnownKey[];
  byId(id: string): KnownKey | undefined;
  /** Whether there is any key. */
  readonly isEmpty: boolean;
}

export function createKnownKeys(store: KeyStore): KnownKeys {
  const contexts = new Map<string, OperatorKey['context']>();

  function keyOf(row: unknown): KnownKey {
    const read = rowSchema.parse(row);
    const { id, device_id: deviceId, kid } = read;
    const masterSecret = read.secret ?? (read.fleet_secret && deviceMasterSecret(read.fleet_secret, deviceId));
    if (masterSecret === null) throw new SupersimError('keys-unusable', `the key ${id} has no secret`);
    const context = contexts.get(id) ?? operatorContext({ masterSecret, deviceId, kid });
    contexts.set(id, context);
    evictOldest(contexts, MAX_CONTEXTS);
    return {
      id,
      sid: read.sid,
      deviceId,
      kid,
      context,
      masterSecret,
      state: read.state,
      allow: read.allow === null ? undefined : allowSchema.parse(JSON.parse(read.allow)),
      fleetKey: read.fleet_key ?? undefined,
      sendsKidContext: read.sends_kid_context === 1,
    };
  }

  return {
    ofSim({ sid = null, uniqueName = null, iccid = null }) {
      const where = 'WHERE d.sid = ? OR d.unique_name = ? OR d.iccid = ? ORDER BY k.rowid';
      return store.all(`${SELECT} ${where}`, [sid, uniqueName, iccid]).map(keyOf);
    },
    byId(id) {
      const row = store.get(`${SELECT} WHERE k.id = ?`, [id]);
      return row === undefined ? undefined : keyOf(row);
    },
    get isEmpty() {
      return store.get('SELECT 1 FROM device_keys LIMIT 1') === undefined;
    },
  };
}
