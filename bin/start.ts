import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { platform } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { DEFAULT_SIM_NAME, type Loopback, startLoopback } from '../loopback/index.js';
import { formatBanner, formatEvent } from '../loopback/print.js';
import { isSupersimError, SupersimError } from '../shared/errors.js';
import { DEVICE_PORT } from '../shared/limits.js';
import { formatStep, probeLoop } from './probe.js';
import { runCli } from './run-cli.js';

/** The whole of the project on one machine: the loopback, and beside it an agent on its SIM's address. */
const AGENT = fileURLToPath(new URL('./supersim-agent.js', import.meta.url));
const AGENT_START_MS = 10_000;

async function start(justOnce: boolean): Promise<void> {
  const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  const loopback = await startAnywhere();
  const agent = startAgent(loopback);
  try {
    await Promise.race([interrupted, show(loopback, agent, justOnce)]);
  } finally {
    await stopAgent(agent);
    await loopback.stop();
  }
}

async function show(loopback: Loopback, agent: ChildProcess, justOnce: boolean): Promise<void> {
  await agentStarted(agent);
  const steps = await Promise.race([probeLoop(loopback, DEVICE_PORT), agentEnded(agent)]);
  print(`\n${steps.map(formatStep).join('\n')}\n`);
  if (justOnce) return;
  print(`ready\n\n${formatBanner(loopback)}\n\nCtrl-C ends it. What happens from here on:\n`);
  loopback.onEvent((event) => print(formatEvent(event)));
  await agentEnded(agent);
}

const print = (line: string) => void process.stdout.write(`${line}\n`);

/** The SIM's address where the usual one is likely to be another agent's. Elsewhere than on Linux there is just one. */
const OTHER_SIM = platform() === 'linux' ? { address: '127.0.0.3' } : {};

/** On the usual ports, or on free ones where another program, perhaps another loopback, has these. */
async function startAnywhere(): Promise<Loopback> {
  try {
    return await startLoopback();
  } catch (error) {
    if (!isSupersimError(error, 'port-in-use')) throw error;
    print(`${error.message}: taking free ports instead`);
    return startLoopback({ httpPort: 0, gatewayPort: 0, sims: [{ name: DEFAULT_SIM_NAME, ...OTHER_SIM }] });
  }
}

function startAgent({ sims, gateway }: Loopback): ChildProcess {
  const [sim] = sims;
  const flags = ['--dev', '--address', sim?.address ?? '', '--port', String(DEVICE_PORT)];
  const command = [AGENT, 'run', ...flags, '--gateway', `${gateway.address}:${gateway.port}`];
  const agent = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => agent.kill());
  return agent;
}

/** Prints what the agent logs, and waits for the line that says that it has started. */
async function agentStarted(agent: ChildProcess): Promise<void> {
  const timeout = AbortSignal.timeout(AGENT_START_MS);
  const started = new Promise<void>((resolve) => {
    if (agent.stdout === null) return;
    createInterface({ input: agent.stdout }).on('line', (line) => {
      print(`agent ${line}`);
      if (line.includes('"agent started"')) resolve();
    });
  });
  await Promise.race([
    started,
    agentEnded(agent),
    once(timeout, 'abort').then(() => fail(`the agent did not start in ${AGENT_START_MS / 1000} s`)),
  ]);
}

async function agentEnded(agent: ChildProcess): Promise<never> {
  const [code, signal] = await once(agent, 'exit');
  return fail(`the agent ended: ${signal ?? `exit code ${code}`}`);
}

function fail(message: string): never {
  throw new SupersimError('probe-failed', message);
}

async function stopAgent(agent: ChildProcess): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null) return;
  const ended = once(agent, 'exit');
  agent.kill('SIGTERM');
  await ended;
}

await runCli(
  yargs(hideBin(process.argv))
    .scriptName('npm start --')
    .command({
      command: '$0',
      describe: 'Start the loopback and an agent, and send a command through both',
      builder: (args) => args.option('once', { type: 'boolean', default: false, describe: 'End after the probe' }),
      handler: ({ once: justOnce }) => start(justOnce === true),
    }),
);
