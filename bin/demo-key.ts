import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sim } from '../loopback/index.js';
import { issueKey } from '../sender/security/keys/device-keys.js';
import { addFleetKey, newFleetSecret } from '../sender/security/keys/fleet-keys.js';
import { createKnownKeys } from '../sender/security/keys/known-keys.js';
import { openOrCreateKeyStore } from '../sender/security/store/create-key-store.js';
import { newInstallation } from '../sender/security/store/home.js';
import { formatKeyFile, type KeyFile } from '../shared/oscore/key-file.js';

/** A key of its own for a demonstration, at both ends. */
export interface DemoKey {
  /** The agent's variables, by which it takes nothing else. */
  readonly agent: Readonly<Record<string, string>>;
  /** The variables by which `supersim` uses the key. */
  readonly sender: Readonly<Record<string, string>>;
}

type DemoSim = Pick<Sim, 'sid' | 'uniqueName' | 'iccid'>;

/** What the demonstration's agent does for everybody, so that what the README has people paste works. */
export const EXCEPTED_COMMANDS: readonly string[] = ['commands', 'echo', 'info', 'ping'];

/** Makes a key in a temporary folder, which lasts as long as `use`, and not longer than this process. */
export async function withDemoKey<T>(sim: DemoSim, use: (demo: DemoKey) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'supersim-start-'));
  // Again where an agent that has just been killed still wrote.
  const removeNow = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  // Output that nobody reads any more ends the process without further ado.
  process.once('exit', removeNow);
  try {
    return await use(await makeKey(folder, sim));
  } finally {
    await rm(folder, { recursive: true, force: true });
    process.removeListener('exit', removeNow);
  }
}

async function makeKey(folder: string, sim: DemoSim): Promise<DemoKey> {
  const keys = join(folder, 'keys');
  const sender = { SUPERSIM_KEYS: join(folder, 'sender.keys'), SUPERSIM_MACHINE_ID: 'demonstration' };
  await mkdir(keys, { mode: 0o700 });
  await writeFile(join(keys, 'demo.json'), formatKeyFile(issueTo(sim, sender)), { mode: 0o600, flag: 'wx' });
  return {
    sender,
    agent: {
      SUPERSIM_AGENT_SECURITY_KEYS: keys,
      SUPERSIM_AGENT_SECURITY_REQUIRED: 'true',
      SUPERSIM_AGENT_SECURITY_EXCEPT: JSON.stringify(EXCEPTED_COMMANDS),
      // Sequence numbers have to be stored, and so has the journal then.
      SUPERSIM_AGENT_STATE_FOLDER: join(folder, 'state'),
    },
  };
}

/** Makes the sender's file with a fleet key, and derives from it the key of a SIM. */
function issueTo(sim: DemoSim, env: Readonly<Record<'SUPERSIM_KEYS' | 'SUPERSIM_MACHINE_ID', string>>): KeyFile {
  const store = openOrCreateKeyStore(env.SUPERSIM_KEYS, () => newInstallation(env));
  try {
    return store.transaction(() => {
      addFleetKey(store, newFleetSecret());
      return issueKey(store, createKnownKeys(store), sim, {}).key;
    });
  } finally {
    store.close();
  }
}
