import { memoryKiB } from '../lib/proc.mjs';
import { atMost, rest, startAgent, startEcho, startLoad } from '../lib/support.mjs';

const FEW = 10_000;
const MANY = 1_000_000;
/** Commands of one endpoint: less than it has CoAP message IDs. */
const BATCH = 50_000;
const IN_FLIGHT = 64;
const SETTLE_MS = 3000;
const LOAD_MS = 60_000;
const IDLE_MS = 30_000;

export const title = 'Memory';
export const method = `RssAnon from /proc after ${FEW.toLocaleString('en')} commands and after ${MANY.toLocaleString('en')}, text \`ping\`, and of another agent after as many times CoAP POST to \`/ping\`, ${IN_FLIGHT} in flight, from another port after each ${BATCH.toLocaleString('en')}, log level info, ${SETTLE_MS / 1000} s after the last; the idle RSS ${IDLE_MS / 1000} s after the start, when V8 has collected what that left, against bare Node with a UDP port bound`;

const mebibytes = (/** @type {number} */ kibibytes) => `${(kibibytes / 1024).toFixed(1)} MiB`;

export async function run() {
  return [await growth('text', 'text'), await growth('coap', 'CoAP'), await idle()];
}

/** @param {'text' | 'coap'} format @param {string} called */
async function growth(format, called) {
  const agent = await startAgent();
  const load = startLoad();
  const { address, port, pid } = agent;

  const rssAnonAfter = async (/** @type {number} */ count) => {
    for (let left = count; left > 0; left -= BATCH) {
      const commands = Math.min(left, BATCH);
      const job = /** @type {const} */ ({ kind: 'round-trips', address, port, inFlight: IN_FLIGHT, ms: LOAD_MS });
      const result = await load.run({ ...job, format, commands });
      if (result.commands < commands) throw new Error(`only ${result.commands} commands were answered in time`);
    }
    await rest(SETTLE_MS);
    return memoryKiB(pid, 'RssAnon');
  };

  const few = await rssAnonAfter(FEW);
  const many = await rssAnonAfter(MANY - FEW);
  for (const part of [agent, load]) await part.stop();
  console.log(`  ${called}, RssAnon: ${mebibytes(few)} after ${FEW} commands, ${mebibytes(many)} after ${MANY}`);
  return atMost(
    `RssAnon after 1,000,000 ${called} commands, against after 10,000`,
    many / few,
    1.1,
    (ratio) => `${ratio.toFixed(2)} ×`,
  );
}

async function idle() {
  const bare = await startEcho();
  const agent = await startAgent();
  await rest(IDLE_MS);
  const rss = { bare: memoryKiB(bare.pid, 'VmRSS'), agent: memoryKiB(agent.pid, 'VmRSS') };
  for (const part of [bare, agent]) await part.stop();
  console.log(`  idle RSS: bare Node ${mebibytes(rss.bare)}, agent ${mebibytes(rss.agent)}`);
  return atMost('idle RSS above that of bare Node', rss.agent - rss.bare, 30 * 1024, mebibytes);
}
