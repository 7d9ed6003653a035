import { ratios } from '../lib/rounds.mjs';
import { atLeast, atMost, median } from '../lib/support.mjs';
import { IN_FLIGHT, measureInTurn, ROUND_MS, ROUNDS, WARM_UP_MS } from './http-rounds.mjs';
import { startBare, startProgram, startStored } from './servers.mjs';

const SIMS = 10_000;
const SENDERS = 1000;
const PAGE_SIZE = 50;
/** One more than is on a page, so that there is a next one. */
const COMMANDS = PAGE_SIZE + 1;

export const title = 'The loopback';
export const method = `a load generator in a process of its own, bare \`node:http\`, keeps ${IN_FLIGHT} requests on their way, each on a connection that is kept, to each server in turn, ${ROUNDS} rounds of ${ROUND_MS / 1000} s, after ${WARM_UP_MS / 1000} s of each that are not counted; user and system time of the server from /proc for each request; the ratios taken round by round, their medians. A list: \`GET /v1/IpCommands?Sim=…&PageSize=${PAGE_SIZE}\` to a loopback with ${SIMS.toLocaleString('en')} SIMs, of which ${SENDERS.toLocaleString('en')} have sent ${COMMANDS} commands each, for one of these and for all of them in turn, against a loopback with one SIM that has sent as many. A command: \`POST /v1/IpCommands\` to \`supersim loopback\` with one SIM, whose device is a UDP socket that discards what comes, against a server made with Hono that reads the same form and answers 201 with the same JSON`;

export async function run() {
  return [...(await lists()), ...(await posts())];
}

async function lists() {
  const sizes = { commands: COMMANDS, pageSize: PAGE_SIZE };
  const many = await startStored({ ...sizes, sims: SIMS, senders: SENDERS });
  const one = await startStored({ ...sizes, sims: 1, senders: 1 });
  const { paths } = many.asked;
  const same = { ...many, asked: { ...many.asked, paths: paths.slice(SENDERS / 2, SENDERS / 2 + 1) } };
  const rounds = await measureInTurn({ 'GET, one of many': same, 'GET, many in turn': many, 'GET, one': one });
  for (const target of [many, one]) await target.stop();
  const against = (/** @type {'GET, one of many' | 'GET, many in turn'} */ name, /** @type {string} */ what) =>
    atMost(
      `CPU time of a list of a SIM's commands by a loopback with ${SIMS.toLocaleString('en')} SIMs, ${what}, against one SIM`,
      median(ratios(rounds, name, 'GET, one', 'cpuMicroseconds')),
      1.2,
      (ratio) => `${ratio.toFixed(2)} ×`,
    );
  return [
    against('GET, one of many', 'for the same SIM each time'),
    against('GET, many in turn', `for ${SENDERS.toLocaleString('en')} of them in turn`),
  ];
}

async function posts() {
  const loopback = await startProgram();
  const bare = await startBare(loopback);
  const rounds = await measureInTurn({ 'POST, loopback': loopback, 'POST, bare': bare });
  for (const target of [loopback, bare]) await target.stop();
  const print = (/** @type {number} */ ratio) => ratio.toFixed(2);
  return [
    atLeast(
      'commands a second taken by the loopback, against a bare Hono server',
      median(ratios(rounds, 'POST, loopback', 'POST, bare')),
      0.5,
      print,
    ),
    atLeast(
      'CPU time of a command by that bare server, against the loopback',
      median(ratios(rounds, 'POST, bare', 'POST, loopback', 'cpuMicroseconds')),
      0.5,
      print,
    ),
  ];
}
