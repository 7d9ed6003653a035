import { join } from 'node:path';
import { expect, vi } from 'vitest';
import type { ConfigInput } from '../../../agent/config/schema.js';
import type { Check } from '../../../agent/doctor/check.js';
import { type Context, createContext } from '../../../agent/doctor/context.js';
import type { Judgement } from '../../../agent/doctor/finding.js';
import type { Identity } from '../../../agent/doctor/identity.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';

/** A user without privileges, as whom the agent might run. */
export const NOBODY: Identity = { name: 'nobody', uid: 65_534, groups: [65_534] };
export const ROOT: Identity = { name: 'root', uid: 0, groups: [0] };

/** The context of a check with this configuration; without an agent, unless its control socket is configured. */
export async function contextOf(config: ConfigInput, more: Partial<Context> = {}): Promise<Context> {
  const folder = temporaryFolder();
  const settings = { state: { folder }, control: { socket: join(folder, 'control.sock') }, ...config };
  const file = writeFile(folder, 'config.yaml', JSON.stringify(settings));
  return { ...(await createContext({ config: file })), ...more };
}

export const run = async (check: Check, config: ConfigInput = {}, more: Partial<Context> = {}) =>
  check.run(await contextOf(config, more));

/** Puts a shell script of this name first in PATH. */
export function playProgram(name: string, script: string): void {
  const folder = temporaryFolder();
  writeScript(script, folder, name);
  vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
}

/** Compares judgements, each as the line `severity code: found → remedy`, with one pattern for each. */
export function expectJudgements(judgements: readonly Judgement[], patterns: readonly RegExp[]): void {
  const lines = judgements.map(({ severity, code, found, remedy }) => {
    const head = [severity, code].filter((part) => part !== undefined).join(' ');
    return [`${head}: ${found}`, remedy].filter((part) => part !== undefined).join(' → ');
  });
  expect(lines).toEqual(patterns.map((pattern) => expect.stringMatching(pattern)));
}
