import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { DEFAULT_SIM_NAME, DIALECT_NAMES, type DialectName, type Loopback, startLoopback } from '../loopback/index.js';
import { formatBanner, formatEvent } from '../loopback/print.js';
import { isSupersimError, SupersimError } from '../shared/errors.js';
import { DEVICE_PORT } from '../shared/limits.js';
import { formatStep, probeLoop } from './probe.js';
import { runCli } from './run-cli.js';

/** The whole of the project on one machine: the loopback, and beside it an agent on its SIM's address. */
const AGENT = fileURLToPath(new URL('./supersim-agent.js', import.meta.url));
/** Until it listens, be it by a modem that has to find its network. */
const AGENT_START_MS = 30_000;
/** What the agent logs once a command can come. */
const STARTED = { udp: '"agent started"', modem: '"modem up"' } as const;

async function start(justOnce: boolean, dialect: DialectName | undefined): Promise<void> {
  const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM'), once(process, 'SIGHUP')]);
  const loopback = await startAnywhere(dialect);
  const agent = startAgent(loopback);
  try {
    await Promise.race([interrupted, show(loopback, agent, justOnce)]);
  } finally {
    await stopAgent(agent);
    await loopback.stop();
  }
}

async function show(loopback: Loopback, agent: ChildProcess, justOnce: boolean): Promise<void> {
  await agentStarted(agent, loopback.modem === undefined ? STARTED.udp : STARTED.modem);
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
async function startAnywhere(dialect: DialectName | undefined): Promise<Loopback> {
  // Its SIM is the only one: what is shown goes by the modem.
  const modem = dialect && {
    modem: { dialect, sim: DEFAULT_SIM_NAME, path: join(tmpdir(), `supersim-modem-${process.pid}`) },
  };
  try {
    return await startLoopback({ ...modem });
  } catch (error) {
    if (!isSupersimError(error, 'port-in-use')) throw error;
    print(`${error.message}: taking free ports instead`);
    const sims = [{ name: DEFAULT_SIM_NAME, ...OTHER_SIM }];
    return startLoopback({ ...modem, httpPort: 0, gatewayPort: 0, sims });
  }
}

function startAgent({ sims, gateway, modem }: Loopback): ChildProcess {
  const [sim] = sims;
  const flags = ['--address', sim?.address ?? '', '--gateway', `${gateway.address}:${gateway.port}`];
  const command = [AGENT, 'run', '--dev', '--port', String(DEVICE_PORT)];
  // What the modem is connected to is the carrier's own network, with its own address of the gateway.
  if (modem === undefined) command.push(...flags);
  else print(`virtual modem ${modem.dialect} at ${modem.link}`);
  const env = modem && { SUPERSIM_AGENT_MODEM_PATH: modem.link, SUPERSIM_AGENT_LINK_POLICY: 'modem' };
  const agent = spawn(process.execPath, command, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  process.once('exit', () => agent.kill());
  return agent;
}

/** Prints what the agent logs, and waits for the line with the message that says that it has started. */
async function agentStarted(agent: ChildProcess, message: string): Promise<void> {
  const timeout = AbortSignal.timeout(AGENT_START_MS);
  const started = new Promise<void>((resolve) => {
    if (agent.stdout === null) return;
    createInterface({ input: agent.stdout }).on('line', (line) => {
      print(`agent ${line}`);
      if (line.includes(message)) resolve();
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
      builder: (args) =>
        args.options({
          once: { type: 'boolean', default: false, describe: 'End after the probe' },
          modem: { choices: DIALECT_NAMES, describe: 'Let it all go by a virtual modem of this kind' },
        }),
      handler: ({ once: justOnce, modem }) => start(justOnce, modem),
    }),
);
