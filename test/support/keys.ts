import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';
import { createKnownKeys } from '../../sender/security/keys/known-keys.js';
import type { Sim } from '../../sender/security/keys/sims.js';
import { openOrCreateKeyStore } from '../../sender/security/store/create-key-store.js';
import { temporaryFolder } from './files.js';
import { type Running, startProcess } from './process.js';

export const INSTALLATION = { machine: 'machine', tag: '0123456789abcdef' } as const;

/** A SIM whose names all begin with its number. */
export const simOf = (number: number): Sim & { readonly iccid: string } => ({
  sid: `HS${String(number).padStart(32, '0')}`,
  uniqueName: `gateway-${number}`,
  iccid: String(8988307000000000000n + BigInt(number)),
});

/** A file with keys in a folder of its own; it is closed with the test. */
export function makeKeyStore(path = join(temporaryFolder(), 'test.keys')) {
  const store = openOrCreateKeyStore(path, () => INSTALLATION);
  onTestFinished(store.close);
  const keys = createKnownKeys(store);
  return { path, store, keys, change: store.transaction };
}

/** Under node_modules, so that packages are found from it. */
const PROGRAM = resolve(`node_modules/.cache/keys-${process.pid}.mjs`);

/** Builds the program of {@link startKeys}; gives what removes it. */
export async function buildKeysProgram(): Promise<() => void> {
  await build({
    entryPoints: [join(import.meta.dirname, 'keys-program.ts')],
    outfile: PROGRAM,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
  });
  return () => rmSync(PROGRAM, { force: true });
}

/** Starts a process that uses a file with keys. */
export const startKeys = (args: readonly string[], env: NodeJS.ProcessEnv): Running =>
  startProcess(process.execPath, [PROGRAM, ...args], { PATH: process.env['PATH'], ...env });
