/** Handlers whose runs are counted outside the agent's state: each leaves its number in the file RUNS, before it ends. */
import { appendFileSync } from 'node:fs';
import { setTimeout as rest } from 'node:timers/promises';
import { mark } from './nonce-log.mjs';

const { RUNS } = process.env;

/** @param {{ number: unknown, ms?: unknown }} params `ms`: how long it takes before its effect, and after it */
async function run({ number, ms = 0 }) {
  if (ms !== 0) await rest(Number(ms));
  appendFileSync(RUNS, `${number}\n`);
  mark(`ran ${number}`);
  if (ms !== 0) await rest(Number(ms));
  return number;
}

export const look = { name: 'test.look', description: 'Changes nothing', safe: true, run };
export const set = { name: 'test.set', description: 'May run twice', idempotent: true, run };
export const act = { name: 'test.act', description: 'May not run twice', run };
