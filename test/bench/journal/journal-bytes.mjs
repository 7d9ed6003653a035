import { atMost, startLoad } from '../lib/support.mjs';
import { fillJournal } from './fill-journal.mjs';
import {
  diskName,
  freshFolder,
  REMEMBERING,
  readRows,
  sendWork,
  startJournalAgent,
  writtenBytes,
} from './journal-agent.mjs';

/** The bound of the bytes of a command, by how many commands are remembered. */
const BOUNDS = new Map([
  [10_000, 6 * 1024],
  [100_000, 8 * 1024],
]);
/** Not counted. */
const WARM_UP = 1000;
const COMMANDS = 10_000;
const IN_FLIGHT = 64;

export const title = 'Bytes written for a journalled command';
export const method = `\`write_bytes\` of the agent in /proc over ${COMMANDS.toLocaleString('en')} JSON-RPC commands, after ${WARM_UP.toLocaleString('en')} that are not counted, ${IN_FLIGHT} on their way, log level warn, \`journal.entries\` ${REMEMBERING.entries.toLocaleString('en')}, when it has ended so many before; \`wchar\`, the bytes of its write calls, is printed beside it, and is the figure where the file system does not count what it writes`;

const kibibytes = (/** @type {number} */ bytes) => `${(bytes / 1024).toFixed(1)} KiB`;

export async function run() {
  const disk = diskName();
  const findings = [];
  for (const [remembered, bound] of BOUNDS) {
    const state = freshFolder('state');
    await fillJournal(state, remembered);
    const agent = await startJournalAgent(state, { journal: REMEMBERING });
    const load = startLoad();
    await sendWork(load, agent, WARM_UP, IN_FLIGHT);
    const before = writtenBytes(agent.pid);
    const { perSecond } = await sendWork(load, agent, COMMANDS, IN_FLIGHT);
    const after = writtenBytes(agent.pid);
    await load.stop();
    await agent.stop();
    const { count, record, progress } = readRows(state);
    const each = (/** @type {'disk' | 'calls'} */ what) => (after[what] - before[what]) / COMMANDS;
    console.log(
      `  ${remembered.toLocaleString('en')} remembered: write_bytes ${kibibytes(each('disk'))}, wchar ${kibibytes(each('calls'))} a command at ${perSecond.toFixed(0)}/s; afterwards ${count} rows of ${(record + progress).toFixed(0)} bytes`,
    );
    findings.push(
      atMost(
        `bytes written for a journalled command, ${IN_FLIGHT} in flight, ${remembered.toLocaleString('en')} remembered, on ${disk}`,
        each('disk') > 0 ? each('disk') : each('calls'),
        bound,
        kibibytes,
      ),
    );
  }
  return findings;
}
