/**
 * Runs what `npm test` leaves out: the tests in test/system, and those of the programs once more with other versions of
 * Node. With arguments, it passes these to the test runner and leaves the other versions out.
 */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { delimiter, resolve } from 'node:path';

const OTHER_NODES = [22, 24];
/** What may depend on the version of Node, and does not take long. */
const WITH_OTHER_NODES = ['test/e2e', 'test/stories'];
const KILLED_SENDERS = 'test/system/security/sender';
const VITEST = resolve('node_modules/vitest/vitest.mjs');

/** @type {(command: readonly [string, ...string[]], env?: NodeJS.ProcessEnv) => boolean} */
function run([program, ...args], env = process.env) {
  const { status, error } = spawnSync(program, args, { stdio: 'inherit', env });
  if (error !== undefined) throw error;
  return status === 0;
}

/** @type {(node: string, args: readonly string[], env?: NodeJS.ProcessEnv) => void} */
function test(node, args, env) {
  if (!run([node, VITEST, 'run', ...args], env)) process.exitCode = 1;
}

/**
 * Runs tests with another version of Node, which npm fetches unless it is there. Where it cannot be fetched, they are
 * skipped; with CI=true they fail.
 *
 * @param {number} major
 */
function testWith(major) {
  const folder = resolve('.cache', `node${major}`);
  const install = ['install', '--silent', '--no-save', '--no-audit', '--no-fund', '--prefix', folder, `node@${major}`];
  if (!run(['npm', ...install])) {
    console.warn(`\nskipped: this machine lacks node@${major}, which npm could not fetch`);
    if (process.env['CI'] === 'true') process.exitCode = 1;
    return;
  }
  const programs = resolve(folder, 'node_modules/.bin');
  console.log(`\nWith Node ${major}:`);
  // The tests start some programs by their first line, which looks for Node in PATH.
  const env = { ...process.env, PATH: `${programs}${delimiter}${process.env['PATH']}` };
  test(resolve(programs, 'node'), ['--project', 'quick', ...WITH_OTHER_NODES], env);
}

const args = process.argv.slice(2);
// Fewer at once than the quick tests have: they start whole systems, and judge shares of what has succeeded.
const system = ['--project', 'system', `--maxWorkers=${Math.ceil(availableParallelism() * 1.5)}`];
if (args.length > 0) test(process.execPath, [...system, ...args]);
else {
  // What kills and starts senders all the time leaves the others too little.
  test(process.execPath, [...system, '--exclude', `${KILLED_SENDERS}/**`]);
  test(process.execPath, ['--project', 'system', `--maxWorkers=${availableParallelism()}`, KILLED_SENDERS]);
  for (const major of OTHER_NODES) testWith(major);
}
