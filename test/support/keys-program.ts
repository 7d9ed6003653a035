/**
 * What a process does with the file of SUPERSIM_KEYS: `draw COUNT` prints as many sequence numbers, `damage` prints what
 * becomes of it when single bytes are changed, and anything else is a command of `supersim keys`. With DIE_AT=N the process
 * is killed instead of the N-th call of the file system that creates something.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import yargs from 'yargs';
import { runCli } from '../../bin/run-cli.js';
import { reportError } from '../../sender/cli/exit.js';
import { keysCommand } from '../../sender/cli/keys/keys.js';
import { fleetKeys } from '../../sender/security/keys/fleet-keys.js';
import { createKnownKeys } from '../../sender/security/keys/known-keys.js';
import { recordedSims } from '../../sender/security/keys/sims.js';
import { createNumberSource } from '../../sender/security/numbers.js';
import { openSecurity } from '../../sender/security/security.js';
import { openKeyStore } from '../../sender/security/store/key-store.js';
import { isSupersimError, messageOf } from '../../shared/errors.js';

const { SUPERSIM_KEYS: path = '', DIE_AT: dieAt } = process.env;
const [command = '', count] = process.argv.slice(2);

/** How many numbers are drawn together. */
const AT_ONCE = 100;

if (dieAt !== undefined) dieBefore(Number(dieAt));
if (command === 'draw') await draw(Number(count));
else if (command === 'damage') await damage();
else await runCli(yargs(process.argv.slice(2)).scriptName('supersim').command(keysCommand), reportError);

async function draw(wanted: number): Promise<void> {
  const security = openSecurity();
  for (let drawn = 0; drawn < wanted; drawn += AT_ONCE) {
    const numbers = await Promise.all(Array.from({ length: Math.min(AT_ONCE, wanted - drawn) }, security.draw));
    process.stdout.write(`${numbers.join('\n')}\n`);
  }
  security.close();
}

function dieBefore(fatal: number): void {
  let calls = 0;
  function killing<A extends unknown[], R>(call: (...args: A) => R): (...args: A) => R {
    return (...args) => {
      if (++calls === fatal) process.kill(process.pid, 'SIGKILL');
      return call(...args);
    };
  }
  Object.assign(fs, {
    mkdirSync: killing(fs.mkdirSync),
    closeSync: killing(fs.closeSync),
    linkSync: killing(fs.linkSync),
    rmSync: killing(fs.rmSync),
    fsyncSync: killing(fs.fsyncSync),
  });
  syncBuiltinESMExports();
}

/** Changes many of the bytes that are not 0, and some of the others, one at a time; then cuts the file. */
async function damage(): Promise<void> {
  const whole = fs.readFileSync(path);
  const seen = new Map<string, number>();
  const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);
  const offsets = Array.from(whole.keys()).filter((offset) => offset % (whole[offset] === 0 ? 499 : 7) === 0);
  for (const [turn, offset] of offsets.entries()) {
    const damaged = Buffer.from(whole);
    damaged[offset] = (whole[offset] ?? 0) ^ (turn % 2 === 0 ? 0xff : 1 << (turn % 8));
    fs.writeFileSync(path, damaged);
    note(await use());
  }
  for (let length = 0; length < whole.length; length += 2017) {
    fs.writeFileSync(path, whole.subarray(0, length));
    note(await use());
  }
  process.stdout.write(`${JSON.stringify(Object.fromEntries(seen))}\n`);
}

async function use(): Promise<string> {
  let store: ReturnType<typeof openKeyStore>;
  try {
    store = openKeyStore(path);
    if (store === undefined) return 'gone';
    fleetKeys(store);
    const keys = createKnownKeys(store);
    for (const sim of recordedSims(store)) keys.ofSim(sim);
    const machine = () => 'machine';
    await createNumberSource(store, { machine, sleep: async () => {} })();
    return 'used';
  } catch (error) {
    return isSupersimError(error) ? error.code : `raw: ${messageOf(error)}`;
  } finally {
    store?.close();
  }
}
