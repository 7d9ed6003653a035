import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isSupersimError, messageOf, SupersimError } from '../../../shared/errors.js';
import { runProgram } from '../../doctor/run-program.js';
import { DELETE_TABLE, RULES_FILE, RULES_UNIT, TABLE } from '../../packet-filter/ruleset.js';
import { APPLY, type Plan } from './plan.js';

/**
 * Writes the rules, loads them, and has them loaded at each boot. What can fail is tried before anything is changed.
 *
 * @throws (rejects) SupersimError `root-required`, `nft-missing`, `unit-missing`, `rules-not-loaded`
 */
export async function applyRules({ rules }: Plan): Promise<void> {
  requireRoot();
  if (!(await isInstalled('nft', '--version'))) throw new SupersimError('nft-missing', 'nft is not installed');
  const unit = await runProgram('systemctl', ['cat', RULES_UNIT]);
  if (unit.failed !== undefined) throw new SupersimError('unit-missing', unit.failed);
  await writeRules(rules);
  for (const [program = '', ...args] of APPLY) {
    const { failed } = await runProgram(program, args, { timeoutMs: 60_000 });
    if (failed !== undefined) throw new SupersimError('rules-not-loaded', failed);
  }
  const { failed } = await runProgram('nft', ['list', 'table', ...TABLE.split(' ')]);
  if (failed !== undefined) throw new SupersimError('rules-not-loaded', failed);
}

/**
 * Removes the rules from the packet filter and the disk. Does nothing where there are none.
 *
 * @returns what could not be done
 * @throws (rejects) SupersimError `root-required`
 */
export async function removeRules(): Promise<string[]> {
  requireRoot();
  const left: string[] = [];
  const unit = await runProgram('systemctl', ['cat', RULES_UNIT]);
  if (unit.failed === undefined) {
    const { failed } = await runProgram('systemctl', ['disable', '--now', RULES_UNIT], { timeoutMs: 60_000 });
    if (failed !== undefined) left.push(failed);
  }
  const table = await runProgram('nft', [DELETE_TABLE]);
  if (table.failed !== undefined) left.push(`${table.failed}: a table that was loaded stays until the next boot`);
  await rm(RULES_FILE, { force: true });
  return left;
}

function requireRoot(): void {
  if (process.geteuid?.() !== 0) throw new SupersimError('root-required', 'only root may change the packet filter');
}

const isInstalled = async (program: string, ...args: string[]): Promise<boolean> =>
  (await runProgram(program, args)).missing !== true;

/** Replaces the file as a whole, once nft has accepted it. Every user may read it: the agent compares it. */
async function writeRules(rules: string): Promise<void> {
  const written = `${RULES_FILE}.new`;
  try {
    await mkdir(dirname(RULES_FILE), { recursive: true, mode: 0o755 });
    await writeFile(written, rules);
    await chmod(written, 0o644);
    const { failed } = await runProgram('nft', ['--check', '--file', written]);
    if (failed !== undefined) throw new SupersimError('rules-not-loaded', failed);
    await rename(written, RULES_FILE);
  } catch (error) {
    await rm(written, { force: true }).catch(() => undefined);
    if (isSupersimError(error)) throw error;
    throw new SupersimError('rules-not-loaded', `cannot write ${RULES_FILE}: ${messageOf(error)}`, { cause: error });
  }
}
