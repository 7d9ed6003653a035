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

/** A module of two files, each with the number of its edition; `count` may not run twice, and leaves a line a run. */
export function writeModule(folder: string, edition: number, inSecond = edition): string {
  writeFile(folder, 'second.mjs', `export const second = ${inSecond};`);
  return writeFile(
    folder,
    'first.mjs',
    `import { appendFileSync, existsSync } from 'node:fs';
    import { setTimeout as rest } from 'node:timers/promises';
    import { second } from './second.mjs';
    const first = ${edition};
    const here = (name) => new URL(name, import.meta.url);
    export const count = {
      name: 'count', description: 'Counts',
      async run({ n }) {
        appendFileSync(here('runs'), n + '\\n');
        await rest((n * 7) % 20);
        return { n, first, second };
      },
    };
    export const hold = {
      name: 'hold', description: 'Takes until there is a file',
      async run() {
        appendFileSync(here('held'), 'x\\n');
        while (!existsSync(here('go'))) await rest(20);
        return { first, second };
      },
    };`,
  );
}

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
  await expect.poll(() => existsSync(socket), { interval: 10 }).toBe(true);
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
