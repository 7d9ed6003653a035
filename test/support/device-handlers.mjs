/**
 * Handlers of an agent that is killed (see device.ts): each run leaves a line in the file `runs` beside this one. Where
 * HELD is set they stop before their effect, and again before their end, until they are let go.
 */
import { appendFileSync } from 'node:fs';
import { setTimeout as rest } from 'node:timers/promises';

const RUNS = new URL('runs', import.meta.url);
const HELD = process.env['HELD'] !== undefined;

/** @type {Map<string, { promise: Promise<void>, open: () => void }>} */
const gates = new Map();

/** @param {string} name */
function gate(name) {
  let found = gates.get(name);
  if (found === undefined) {
    let open = () => undefined;
    const promise = HELD ? new Promise((resolve) => (open = () => resolve())) : Promise.resolve();
    found = { promise, open };
    gates.set(name, found);
  }
  return found;
}

/** @param {unknown} number written at once, and whole */
const leaveLine = (number) => appendFileSync(RUNS, `${number}\n`);

const kill = () => process.kill(process.pid, 'SIGKILL');

/** @param {{ number: unknown, ms?: unknown }} params `ms`: how long it takes, before its effect and after it */
async function act({ number, ms }) {
  await gate('effect').promise;
  if (ms !== undefined) await rest(Number(ms));
  leaveLine(number);
  await gate('end').promise;
  if (ms !== undefined) await rest(Number(ms));
  return `ran ${number}`;
}

export const once = { name: 'act.once', description: 'May not run twice', run: act };
export const again = { name: 'act.again', description: 'May run twice', idempotent: true, run: act };

/** Ends the agent however often it runs; when held only once it is let go. */
export const crash = {
  name: 'crash',
  description: 'Kills the agent',
  idempotent: true,
  /** @param {{ number: unknown }} params */
  async run({ number }) {
    leaveLine(number);
    await gate('end').promise;
    kill();
  },
};

export const open = {
  name: 'open',
  description: 'Lets go what is held',
  safe: true,
  /** @param {{ args: [string] }} params */
  run: ({ args: [name] }) => gate(name).open(),
};

export const block = { name: 'block', description: 'Keeps its place', safe: true, run: () => new Promise(() => {}) };

/** Its sender's next datagrams are not looked at any more. */
export const die = { name: 'die', description: 'Kills the agent', safe: true, run: kill };

/** The same as soon as the journal has that it started. */
export const dieOnce = { name: 'die.once', description: 'Kills the agent', run: kill };
