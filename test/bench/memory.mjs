import { memoryKiB } from './proc.mjs';
import { atMost, rest, startAgent, startEcho, startLoad } from './support.mjs';

const FEW = 10_000;
const MANY = 1_000_000;
const IN_FLIGHT = 64;
const SETTLE_MS = 3000;
const LOAD_MS = 300_000;

export const title = 'Memory';
export const method = `RssAnon from /proc after ${FEW.toLocaleString('en')} commands and after ${MANY.toLocaleString('en')}, text \`ping\`, ${IN_FLIGHT} in flight, log level info, ${SETTLE_MS / 1000} s after the last; the idle RSS ${SETTLE_MS / 1000} s after the start, against bare Node with a UDP port bound`;

const mebibytes = (/** @type {number} */ kibibytes) => `${(kibibytes / 1024).toFixed(1)} MiB`;

export async function run() {
  const bare = await startEcho();
  const agent = await startAgent();
  const load = startLoad();
  const { address, port, pid } = agent;

  const rssAnonAfter = async (/** @type {number} */ commands) => {
    const result = await load.run({
      kind: 'round-trips',
      format: 'text',
      address,
      port,
      inFlight: IN_FLIGHT,
      ms: LOAD_MS,
      commands,
    });
    if (result.commands < commands) throw new Error(`only ${result.commands} commands were answered in time`);
    await rest(SETTLE_MS);
    return memoryKiB(pid, 'RssAnon');
  };

  await rest(SETTLE_MS);
  const idle = { bare: memoryKiB(bare.pid, 'VmRSS'), agent: memoryKiB(pid, 'VmRSS') };
  const few = await rssAnonAfter(FEW);
  const many = await rssAnonAfter(MANY - FEW);
  for (const part of [bare, agent, load]) await part.stop();
  console.log(`  idle RSS: bare Node ${mebibytes(idle.bare)}, agent ${mebibytes(idle.agent)}`);
  console.log(`  RssAnon: ${mebibytes(few)} after ${FEW} commands, ${mebibytes(many)} after ${MANY}`);
  return [
    atMost(
      'RssAnon after 1,000,000 commands, against after 10,000',
      many / few,
      1.1,
      (ratio) => `${ratio.toFixed(2)} ×`,
    ),
    atMost('idle RSS above that of bare Node', idle.agent - idle.bare, 25 * 1024, mebibytes),
  ];
}
