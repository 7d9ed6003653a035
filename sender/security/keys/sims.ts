import * as z from 'zod';
import { readText } from '../../../shared/sqlite/columns.js';
import type { KeyStore } from '../store/key-store.js';
import { readRows } from '../store/rows.js';
import type { SimNames } from './operator-key.js';

/** A SIM as the API knows it. */
export interface Sim extends SimNames {
  readonly sid: string;
}

/**
 * Records what a SIM is called. A unique name or an ICCID that another SIM had is no longer that one's. Within a
 * transaction.
 *
 * @throws SupersimError `keys-unusable`
 */
export function recordSim(store: KeyStore, { sid, ...names }: Sim): void {
  const [uniqueName, iccid] = [names.uniqueName ?? null, names.iccid ?? null];
  store.run('UPDATE devices SET unique_name = NULL WHERE unique_name = ? AND sid <> ?', [uniqueName, sid]);
  store.run('UPDATE devices SET iccid = NULL WHERE iccid = ? AND sid <> ?', [iccid, sid]);
  store.run(
    `INSERT INTO devices (sid, unique_name, iccid) VALUES (?, ?, ?)
      ON CONFLICT (sid) DO UPDATE SET unique_name = excluded.unique_name, iccid = excluded.iccid`,
    [sid, uniqueName, iccid],
  );
}

const simSchema = z.object({ sid: readText, unique_name: readText.nullable(), iccid: readText.nullable() });

/** Reads all SIMs that have, or had, a key. */
export function recordedSims(store: KeyStore): readonly Sim[] {
  const sql = `SELECT CAST(sid AS BLOB) AS sid, CAST(unique_name AS BLOB) AS unique_name, CAST(iccid AS BLOB) AS iccid
    FROM devices ORDER BY rowid`;
  return readRows(store, simSchema, sql).map(({ sid, unique_name, iccid }) => ({
    sid,
    uniqueName: unique_name ?? undefined,
    iccid: iccid ?? undefined,
  }));
}
