/**
 * `node test/bench/compare-builds.mjs DIST_A DIST_B [ROUNDS]`: CPU time per text `ping`, per CoAP POST and per journalled
 * command of two builds, measured in turn in one run. Prints the median of each, and of the ratios B/A round by round.
 */
import { resolve } from 'node:path';
import { journalled } from './journal/journal.mjs';
import { measureInTurn } from './lib/rounds.mjs';
import { median, startAgent } from './lib/support.mjs';

const IN_FLIGHT = 64;
const ROUND_MS = 1000;

const [distA, distB, rounds = '15'] = process.argv.slice(2);
if (distA === undefined || distB === undefined || !(Number(rounds) > 0)) {
  console.error('usage: node test/bench/compare-builds.mjs DIST_A DIST_B [ROUNDS]');
  process.exit(2);
}
const programA = resolve(distA, 'bin/supersim-agent.js');
const programB = resolve(distB, 'bin/supersim-agent.js');

/** @typedef {{ cpuMicroseconds: number, perSecond: number }} Figures */

/** @param {string} what @param {{ a: Figures, b: Figures }[]} measured */
function report(what, measured) {
  const of = (/** @type {'a' | 'b'} */ name, /** @type {keyof Figures} */ key) =>
    median(measured.map((round) => round[name][key]));
  const ratios = measured.map(({ a, b }) => b.cpuMicroseconds / a.cpuMicroseconds);
  console.log(
    `${what}: A ${of('a', 'cpuMicroseconds').toFixed(1)} µs of CPU, B ${of('b', 'cpuMicroseconds').toFixed(1)} µs; B/A ${median(ratios).toFixed(3)} (by round: ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')}); A ${of('a', 'perSecond').toFixed(0)}/s, B ${of('b', 'perSecond').toFixed(0)}/s`,
  );
}

/** @param {'text' | 'coap'} format */
async function pings(format) {
  const servers = { a: await startAgent({ program: programA }), b: await startAgent({ program: programB }) };
  // A round is an endpoint of CoAP, which has 65,536 message IDs.
  const load = { format, inFlight: IN_FLIGHT, ms: ROUND_MS, ...(format === 'coap' && { commands: 60_000 }) };
  const measured = await measureInTurn(servers, Number(rounds), load);
  for (const server of Object.values(servers)) await server.stop();
  return measured;
}

async function journalledInTurn() {
  const measured = [];
  for (let round = 0; round < Number(rounds); round++) {
    const a = await journalled(IN_FLIGHT, programA);
    const b = await journalled(IN_FLIGHT, programB);
    measured.push({ a, b });
  }
  return measured;
}

report('ping', await pings('text'));
report('CoAP POST to /ping', await pings('coap'));
report('journalled command', await journalledInTurn());
