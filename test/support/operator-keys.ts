import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ConfigInput } from '../../agent/config/schema.js';
import type { KeyState } from '../../sender/security/keys/known-keys.js';
import { openOrCreateKeyStore } from '../../sender/security/store/create-key-store.js';
import { newInstallation } from '../../sender/security/store/home.js';
import { openKeyStore } from '../../sender/security/store/key-store.js';
import { deviceMasterSecret, type SharedKey } from '../../shared/oscore/identities.js';
import { keyIdOf } from '../../shared/oscore/key-file.js';
import { temporaryFolder, writeFile } from './files.js';
import { keyFileText } from './security.js';

/** A SIM as the loopback has it. Its ICCID is the device id. */
export interface KeyedSim {
  readonly sid: string;
  readonly uniqueName: string;
  readonly iccid: string;
}

/** A fleet key, of which the current one has the kid 1. */
interface FleetKey {
  readonly id: string;
  readonly kid: number;
}

const CURRENT: FleetKey = { id: 'first', kid: 1 };
const KEY_NAME = 'ops';

/** The bytes of a fleet key: the same in every run. */
const fleetSecret = ({ id }: FleetKey): Buffer => createHash('sha256').update(id).digest();

/**
 * Makes the file with the keys of an installation of the sender: a fleet key, and a key for each SIM.
 *
 * @param allow the commands that the keys allow; default: all
 * @param sendsKidContext whether the sender is to send the kid context
 */
export function makeOperatorKeys(
  sims: readonly KeyedSim[],
  { allow, sendsKidContext = false }: { allow?: readonly string[]; sendsKidContext?: boolean } = {},
) {
  const path = join(temporaryFolder(), 'profile.keys');
  /** The variables by which the sender uses this file. */
  const env = { SUPERSIM_KEYS: path, SUPERSIM_MACHINE_ID: 'machine of a test' };
  openOrCreateKeyStore(path, () => newInstallation(env)).close();

  /** Writes rows, all by one transaction: each waits for the disk. */
  function write(sql: string, ...rows: readonly (readonly (string | number | Buffer | null)[])[]): void {
    const store = openKeyStore(path);
    if (store === undefined) throw new Error(`${path} is gone`);
    store.transaction(() => {
      for (const values of rows) store.run(sql, values);
    });
    store.close();
  }

  const addFleetKey = (fleet: FleetKey): void =>
    write('INSERT INTO fleet_keys VALUES (?, ?, ?, ?, ?)', [
      ...[fleet.id, fleetSecret(fleet), fleet.kid, fleet === CURRENT ? 1 : 0, '2026-01-01T00:00:00Z'],
    ]);

  /** The key of a SIM from a fleet key. */
  const keyOf = ({ iccid }: KeyedSim, fleet: FleetKey = CURRENT): SharedKey => ({
    masterSecret: deviceMasterSecret(fleetSecret(fleet), iccid),
    deviceId: iccid,
    kid: fleet.kid,
  });

  const keyRow = (sim: KeyedSim, state: KeyState, fleet: FleetKey) => [
    ...[keyIdOf(keyOf(sim, fleet)), sim.sid, sim.iccid, fleet.id, fleet.kid],
    ...[allow === undefined ? null : JSON.stringify(allow), sendsKidContext ? 1 : 0, state],
  ];

  /** Adds the keys of SIMs that are known, from a fleet key that is known. */
  const addKeys = (of: readonly KeyedSim[], state: KeyState, fleet: FleetKey): void =>
    write(
      'INSERT INTO device_keys VALUES (?, ?, ?, ?, NULL, ?, ?, ?, ?)',
      ...of.map((sim) => keyRow(sim, state, fleet)),
    );

  /** Adds the key of a SIM that is known, from a fleet key that is known. */
  const addKey = (sim: KeyedSim, state: KeyState = 'used', fleet: FleetKey = CURRENT): void =>
    addKeys([sim], state, fleet);

  addFleetKey(CURRENT);
  write('INSERT INTO devices VALUES (?, ?, ?)', ...sims.map((sim) => [sim.sid, sim.uniqueName, sim.iccid]));
  addKeys(sims, 'used', CURRENT);

  return {
    path,
    env,
    keyOf,
    addFleetKey,
    addKey,
    /** Changes the state of all keys of a SIM. */
    setState: ({ sid }: KeyedSim, state: KeyState): void =>
      write('UPDATE device_keys SET state = ? WHERE sid = ?', [state, sid]),
    /** The text of the key file of a SIM's device. */
    fileText: (sim: KeyedSim, fleet?: FleetKey): string => keyFileText({ ...keyOf(sim, fleet), allow }),
    /** The configuration of a SIM's agent that has its key, in folders of its own, and sends events under it. */
    agentConfig(sim: KeyedSim, fleet?: FleetKey) {
      const folder = temporaryFolder();
      const keys = join(folder, 'keys');
      mkdirSync(keys, { mode: 0o750 });
      writeFile(keys, `${KEY_NAME}.json`, keyFileText({ ...keyOf(sim, fleet), allow }));
      return {
        security: { keys },
        events: { key: KEY_NAME },
        state: { folder: join(folder, 'state') },
      } as const satisfies ConfigInput;
    },
  };
}
