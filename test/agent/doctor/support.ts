import { join } from 'node:path';
import { vi } from 'vitest';
import type { ConfigInput } from '../../../agent/config/schema.js';
import type { Check } from '../../../agent/doctor/check.js';
import { type Context, createContext } from '../../../agent/doctor/context.js';
import type { Identity } from '../../../agent/doctor/identity.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';

/** A user without rights, as whom the agent might run. */
export const NOBODY: Identity = { name: 'nobody', uid: 65_534, groups: [65_534] };
export const ROOT: Identity = { name: 'root', uid: 0, groups: [0] };

/** What a check sees where this is configured; without an agent, unless the control socket of one is. */
export async function contextOf(config: ConfigInput, more: Partial<Context> = {}): Promise<Context> {
  const folder = temporaryFolder();
  const settings = { state: { folder }, control: { socket: join(folder, 'control.sock') }, ...config };
  const file = writeFile(folder, 'config.yaml', JSON.stringify(settings));
  return { ...(await createContext({ config: file })), ...more };
}

export const run = async (check: Check, config: ConfigInput = {}, more: Partial<Context> = {}) =>
  check.run(await contextOf(config, more));

/** Puts a program of this name before all others; it is a shell script. */
export function playProgram(name: string, script: string): void {
  const folder = temporaryFolder();
  writeScript(script, folder, name);
  vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
}
