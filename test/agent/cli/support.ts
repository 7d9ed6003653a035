import { spawn } from 'node:child_process';
import { chmodSync, cpSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { program, startProcess } from '../../support/process.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const WAIT_MS = 15_000;
const NOBODY = 65_534;

/** Environment of the agent: none of the developer's settings, and a state folder as systemd would set it. */
export const environment = (extra: Record<string, string> = {}) => ({
  PATH: process.env['PATH'],
  STATE_DIRECTORY: temporaryFolder(),
  ...extra,
});

/** Runs the built `supersim-agent` until it exits, with a configuration file and `input` on stdin. */
export async function supersimAgent(
  args: readonly string[],
  config = '',
  extra: Record<string, string> = {},
  input?: string,
) {
  const file = writeFile(temporaryFolder(), 'config.yaml', config);
  const child = spawn(process.execPath, [program('supersim-agent'), ...args], {
    env: { ...environment(extra), SUPERSIM_AGENT_CONFIG: file },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: WAIT_MS,
    killSignal: 'SIGKILL',
  });
  const code = new Promise<number | string | null>((resolve) => {
    child.once('close', (status, signal) => resolve(status ?? signal));
  });
  child.stdin?.end(input);
  const [stdout, stderr] = await Promise.all([child.stdout, child.stderr].map((stream) => stream && buffer(stream)));
  return { code: await code, stdout: `${stdout}`, stderr: `${stderr}`, file };
}

/** Copies the built programs to a folder of their own, without the packages beside them. @returns the folder */
export function copyPrograms(): string {
  const folder = temporaryFolder();
  cpSync(dirname(program('supersim-agent')), folder, { recursive: true });
  return folder;
}

/** Runs the built `supersim-agent` as a user without privileges; needs root. */
export function supersimAgentAsNobody() {
  // Wherever the repository lies, this user can read the program here.
  const folder = copyPrograms();
  chmodSync(folder, 0o755);
  return async (args: readonly string[]) => {
    const child = spawn(process.execPath, [join(folder, 'supersim-agent.js'), ...args], {
      uid: NOBODY,
      gid: NOBODY,
      env: environment(),
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: WAIT_MS,
      killSignal: 'SIGKILL',
    });
    const code = new Promise<number | null>((resolve) => child.once('close', resolve));
    return { stderr: await text(child.stderr), code: await code };
  };
}

/** Starts the built agent on an unused address and a peer that it allows. Both end with the test. */
export async function startAgent(
  config = '',
  {
    args = [] as readonly string[],
    env = {},
    ready = /agent started/,
    file: agentFile = program('supersim-agent'),
  } = {},
) {
  const peer = await openPeer();
  const gateway = await openPeer();
  const device = { address: randomAddress(), port: 6969 };
  const file = writeFile(temporaryFolder(), 'config.yaml', config);
  const flags = [
    '--config',
    file,
    '--address',
    device.address,
    '--gateway',
    `${gateway.endpoint.address}:${gateway.endpoint.port}`,
  ];
  const agent = startProcess(
    process.execPath,
    [agentFile, 'run', ...flags, ...args],
    environment({ SUPERSIM_AGENT_ALLOW: '[127.0.0.0/8]', SUPERSIM_AGENT_LISTEN_RECEIVE_BUFFER_BYTES: '65536', ...env }),
  );
  onTestFinished(() => agent.kill('SIGKILL'));
  await agent.line(ready);
  /** Returns its log so far. @throws when a line is not JSON */
  const log = (): Record<string, unknown>[] =>
    agent
      .output()
      .split('\n')
      .map((line) => JSON.parse(line));
  return { agent, peer, gateway, device, log };
}
