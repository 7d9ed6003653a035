import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { controlClient } from '../../agent/service/control/client.js';
import { reloadedSchema } from '../../agent/service/control/schema.js';
import { environment } from '../agent/cli/support.js';
import { temporaryFolder, writeFile } from './files.js';
import { program, runProcess, startProcess } from './process.js';
import { openPeer, randomAddress } from './udp.js';

/**
 * A real agent on an address of its own, whose configuration file the test writes again. What is not said in it is as
 * it was at the start.
 */
export async function startReloadable(
  config: ConfigInput = {},
  { node = [] as readonly string[], args = [] as readonly string[], env = {}, address = randomAddress() } = {},
) {
  const folder = temporaryFolder();
  const socket = join(folder, 'control.sock');
  const gateway = await openPeer();
  const file = join(folder, 'config.yaml');
  const write = (next: ConfigInput) => {
    const complete: ConfigInput = {
      listen: { address },
      gateway: gateway.endpoint,
      allow: ['127.0.0.0/8'],
      state: { folder },
      control: { socket },
      ...next,
    };
    // JSON is YAML.
    writeFile(folder, 'config.yaml', JSON.stringify(complete, null, 1));
  };
  write(config);
  const command = [...node, program('supersim-agent'), 'run', '--config', file, ...args];
  const agent = startProcess(process.execPath, command, environment(env));
  onTestFinished(() => agent.kill('SIGKILL'));
  await agent.line(/"agent started"/);
  await expect.poll(() => existsSync(socket), { timeout: 10_000, interval: 10 }).toBe(true);
  const ask = controlClient(socket);
  return {
    agent,
    folder,
    file,
    socket,
    gateway,
    device: { address, port: 6969 },
    write,
    /** Writes the configuration's file as text. */
    writeText: (text: string) => void writeFile(folder, 'config.yaml', text),
    ask,
    /** By the control socket, as `supersim-agent reload` does. */
    reload: () => ask('POST', '/reload', reloadedSchema),
    /** Runs another `supersim-agent` on its control socket. */
    cli: (...words: readonly string[]) =>
      runProcess(process.execPath, [program('supersim-agent'), ...words, '--socket', socket], environment()),
    log: (): Record<string, unknown>[] =>
      agent
        .output()
        .split('\n')
        .map((line) => JSON.parse(line)),
  };
}
