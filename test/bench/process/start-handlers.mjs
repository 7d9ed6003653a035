import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { atMost, folder, median, startAgent } from '../lib/support.mjs';

const PROGRAMS = 1000;
const RUNS = 15;
const BOUNDS = { programs: 2, module: 1.3 };

export const title = 'Start with handlers';
export const method = `from spawning the agent to its line that says it is ready, its configuration written as YAML, with ${PROGRAMS.toLocaleString('en')} handlers that are programs, each a file of its own, and with a JavaScript module of one handler, against no handlers; ${RUNS} starts of each, in turn, after one of each that is not counted; the ratio of the medians`;

const MODULE = `export default { name: 'js.one', description: 'Returns a word', run: () => 'word' };
`;

/** @typedef {'none' | 'programs' | 'module'} Kind */

export async function run() {
  /** @type {Record<Kind, Record<string, unknown>>} */
  const configs = { none: {}, programs: { handlers: makePrograms() }, module: { modules: [makeModule()] } };
  const kinds = /** @type {Kind[]} */ (Object.keys(configs));
  /** @type {Record<Kind, number[]>} */
  const times = { none: [], programs: [], module: [] };
  for (let round = 0; round <= RUNS; round++) {
    for (const kind of kinds) {
      const agent = await startAgent({ config: configs[kind], write: stringify });
      await agent.stop();
      if (round > 0) times[kind].push(agent.startMs);
    }
  }
  for (const kind of kinds) {
    const each = times[kind].map((ms) => ms.toFixed(0)).join(' ');
    const fastest = Math.min(...times[kind]) / Math.min(...times.none);
    console.log(
      `  ${kind}: ${median(times[kind]).toFixed(0)} ms (${each}); the fastest, against none: ${fastest.toFixed(2)} ×`,
    );
  }
  const against = (/** @type {'programs' | 'module'} */ kind, /** @type {string} */ what) =>
    atMost(
      `start to ready with ${what}, against none`,
      median(times[kind]) / median(times.none),
      BOUNDS[kind],
      (ratio) => `${ratio.toFixed(2)} ×`,
    );
  return [
    against('programs', `${PROGRAMS.toLocaleString('en')} handlers that are programs`),
    against('module', 'a JavaScript module'),
  ];
}

/** Writes the programs, and returns the handlers that run them. */
function makePrograms() {
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  return Object.fromEntries(
    Array.from({ length: PROGRAMS }, (_, index) => {
      const path = join(programs, `h${index + 1}.sh`);
      writeFileSync(path, '#!/bin/sh\necho done\n', { mode: 0o700 });
      return [`h.n${index + 1}`, { description: `handler ${index + 1}`, program: [path] }];
    }),
  );
}

function makeModule() {
  const path = join(folder, 'one.mjs');
  writeFileSync(path, MODULE, { mode: 0o600 });
  return path;
}
