import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MASTER_SECRET_BYTES, type SharedKey } from '../shared/oscore/identities.js';

/** A key that an agent has a file of, by the name of that file. */
export interface NamedKey extends SharedKey {
  readonly name: string;
}

/** A key of its own for a demonstration, and the agent's variables by which it takes nothing else. */
export interface DemoKey {
  readonly key: NamedKey;
  readonly variables: Readonly<Record<string, string>>;
}

/** What the demonstration's agent does for everybody, so that what the README has people paste works. */
export const EXCEPTED_COMMANDS: readonly string[] = ['commands', 'echo', 'info', 'ping'];

const NAME = 'demo';
const KID = 1;

/** Makes a key in a temporary folder, which lasts as long as `use`, and not longer than this process. */
export async function withDemoKey<T>(deviceId: string, use: (demo: DemoKey) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'supersim-start-'));
  // Again where an agent that has just been killed still wrote.
  const removeNow = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  // Output that nobody reads any more ends the process without further ado.
  process.once('exit', removeNow);
  try {
    return await use(await makeKey(folder, deviceId));
  } finally {
    await rm(folder, { recursive: true, force: true });
    process.removeListener('exit', removeNow);
  }
}

async function makeKey(folder: string, deviceId: string): Promise<DemoKey> {
  const keys = join(folder, 'keys');
  const key = { name: NAME, deviceId, kid: KID, masterSecret: randomBytes(MASTER_SECRET_BYTES) };
  const text = JSON.stringify({ device: deviceId, kid: KID, secret: key.masterSecret.toString('hex') });
  await mkdir(keys, { mode: 0o700 });
  await writeFile(join(keys, `${NAME}.json`), text, { mode: 0o600, flag: 'wx' });
  return {
    key,
    variables: {
      SUPERSIM_AGENT_SECURITY_KEYS: keys,
      SUPERSIM_AGENT_SECURITY_REQUIRED: 'true',
      SUPERSIM_AGENT_SECURITY_EXCEPT: JSON.stringify(EXCEPTED_COMMANDS),
      // Sequence numbers have to be stored, and so has the journal then.
      SUPERSIM_AGENT_STATE_FOLDER: join(folder, 'state'),
    },
  };
}
