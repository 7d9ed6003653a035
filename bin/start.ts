import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import {
  DEFAULT_SIM_NAME,
  DIALECT_NAMES,
  type DialectName,
  formatBanner,
  formatEvent,
  type Loopback,
  type LoopbackOptions,
  startLoopback,
} from '../loopback/index.js';
import { isSupersimError, SupersimError } from '../shared/errors.js';
import { DEVICE_PORT } from '../shared/limits.js';
import { type DemoKey, EXCEPTED_COMMANDS, withDemoKey } from './demo-key.js';
import { freeDeviceEndpoints, isFree } from './device-endpoint.js';
import { formatStep, probeLoop } from './probe.js';
import { probeProtected } from './protected-probe.js';
import { runCli } from './run-cli.js';

const AGENT = fileURLToPath(new URL('./supersim-agent.js', import.meta.url));
const SUPERSIM = fileURLToPath(new URL('./supersim.js', import.meta.url));
/** Time for the agent to start; a modem has to find its network first. */
const AGENT_START_MS = 30_000;
/** The message that the agent logs when it can receive commands. */
const READY_MESSAGE = { udp: '"agent started"', modem: '"modem up"' } as const;

/** Runs a loopback and an agent until the probes are done (`--once`), a signal arrives or the agent ends. */
async function start(justOnce: boolean, dialect: DialectName | undefined): Promise<void> {
  const interrupted = interruption();
  if (dialect !== undefined) {
    await runBoth(await startLoopbackAnywhere(withModem(dialect)), DEVICE_PORT, interrupted, justOnce);
    return;
  }
  for await (const endpoint of freeDeviceEndpoints()) {
    const loopback = await startLoopbackAnywhere({ sims: [{ name: DEFAULT_SIM_NAME, address: endpoint.address }] });
    try {
      await runBoth(loopback, endpoint.port, interrupted, justOnce);
      return;
    } catch (error) {
      // Another program may have taken it since it was found free.
      if (await isFree(endpoint)) throw error;
      print(`${endpoint.address}:${endpoint.port} (UDP) was taken by another program; trying the next address`);
    }
  }
  throw new SupersimError('port-in-use', 'no free UDP port for the agent on any loopback address');
}

/**
 * Resolves at the first signal. Further ones do nothing, so that the key is removed in any case: npm passes on a Ctrl-C that
 * the terminal has sent already. The agent, which gets them from the terminal too, ends at the second one without delay.
 */
const interruption = (): Promise<void> =>
  new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => resolve());
  });

/** Runs an agent with a key of its own beside the loopback; stops both in the end. */
async function runBoth(
  loopback: Loopback,
  devicePort: number,
  interrupted: Promise<unknown>,
  justOnce: boolean,
): Promise<void> {
  print(describeEndpoints(loopback, devicePort));
  try {
    const [sim] = loopback.sims;
    if (sim === undefined) return;
    await withDemoKey(sim, async (demo) => {
      const agent = startAgent(loopback, devicePort, demo);
      try {
        await Promise.race([interrupted, show(loopback, agent, devicePort, demo, justOnce)]);
      } finally {
        await stopAgent(agent);
      }
    });
  } finally {
    await loopback.stop();
  }
}

function describeEndpoints({ url, gateway, sims, modem }: Loopback, devicePort: number): string {
  const agent =
    modem === undefined
      ? `agent: ${sims[0]?.address}:${devicePort} (UDP)`
      : `virtual modem ${modem.dialect} at ${modem.link}`;
  return `loopback: API ${url}, gateway ${gateway.address}:${gateway.port} (UDP)\n${agent}`;
}

async function show(
  loopback: Loopback,
  agent: ChildProcess,
  devicePort: number,
  { sender }: DemoKey,
  justOnce: boolean,
): Promise<void> {
  await agentStarted(agent, loopback.modem === undefined ? READY_MESSAGE.udp : READY_MESSAGE.modem);
  for (const probe of [probeLoop, probeProtected]) {
    const steps = await Promise.race([probe(loopback, devicePort, sender), agentEnded(agent)]);
    print(`\n${steps.map(formatStep).join('\n')}\n`);
  }
  print(describeAccess());
  if (justOnce) return;
  print(
    `ready\n\n${formatBanner(loopback, devicePort)}\n\n${protectedLines(loopback, devicePort, sender)}\n\nPress Ctrl-C to stop. Events:\n`,
  );
  loopback.onEvent((event) => print(formatEvent(event)));
  await agentEnded(agent);
}

/** One line on what the agent of this demonstration takes from whom. */
const describeAccess = (): string =>
  `commands without a key are refused in this demo, without an answer, except: ${EXCEPTED_COMMANDS.join(', ')}\n`;

/** What to paste into another shell for a command that is protected with the key. */
function protectedLines(
  { url, accountSid, authToken }: Loopback,
  devicePort: number,
  sender: DemoKey['sender'],
): string {
  const variables = {
    ...{ SUPERSIM_API_URL: url, SUPERSIM_ACCOUNT_SID: accountSid, SUPERSIM_AUTH_TOKEN: authToken },
    ...sender,
  };
  const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const port = devicePort === DEVICE_PORT ? '' : ` --port ${devicePort}`;
  const command = `node ${relative(process.cwd(), SUPERSIM)} request --sim ${DEFAULT_SIM_NAME}${port} health`;
  return `Send a command that is protected with the key, in another shell:\n  export ${assignments.join(' ')}\n  ${command}`;
}

const print = (line: string) => void process.stdout.write(`${line}\n`);

/** Options for a loopback whose only SIM is in a virtual modem. */
const withModem = (dialect: DialectName): LoopbackOptions => ({
  modem: { dialect, sim: DEFAULT_SIM_NAME, path: join(tmpdir(), `supersim-modem-${process.pid}`) },
});

/** Starts a loopback on the default ports, or on free ones when another program has one of these. */
async function startLoopbackAnywhere(options: LoopbackOptions): Promise<Loopback> {
  try {
    return await startLoopback(options);
  } catch (error) {
    if (!isSupersimError(error, 'port-in-use')) throw error;
    print(`${error.message}; using free ports`);
    return startLoopback({ ...options, httpPort: 0, gatewayPort: 0 });
  }
}

function startAgent(
  { sims, gateway, modem }: Loopback,
  devicePort: number,
  { agent: variables }: DemoKey,
): ChildProcess {
  const command = [AGENT, 'run', '--dev', '--port', String(devicePort)];
  // In the modem's network the gateway has the carrier's address, which the agent uses by default.
  if (modem === undefined) {
    command.push('--address', sims[0]?.address ?? '', '--gateway', `${gateway.address}:${gateway.port}`);
  }
  const env = modem && { SUPERSIM_AGENT_MODEM_PATH: modem.link, SUPERSIM_AGENT_LINK_POLICY: 'modem' };
  const agent = spawn(process.execPath, command, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...variables, ...env },
  });
  // At once, and before its folder is removed, into which it would write at its end.
  process.prependOnceListener('exit', () => agent.kill('SIGKILL'));
  return agent;
}

/** Prints the agent's log, and waits for the line with this message. */
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
      describe: 'Start a loopback and an agent, and send a command through both',
      builder: (args) =>
        args.options({
          once: { type: 'boolean', default: false, describe: 'Stop after the probes' },
          modem: { choices: DIALECT_NAMES, describe: 'Connect the agent by a virtual modem of this dialect' },
        }),
      handler: ({ once: justOnce, modem }) => start(justOnce, modem),
    }),
);
