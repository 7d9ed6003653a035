import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import type { ConfigInput } from '../../../../agent/config/schema.js';
import { controlClient } from '../../../../agent/service/control/client.js';
import { commandListSchema, statusSchema } from '../../../../agent/service/control/schema.js';
import type { Loopback } from '../../../../loopback/index.js';
import { environment } from '../../../agent/cli/support.js';
import { linesOf } from '../../../support/device.js';
import { temporaryFolder, writeFile, writeScript } from '../../../support/files.js';
import { program, type Running, startProcess } from '../../../support/process.js';

/** How much faster the agent's wall clock runs: after a kill it waits 80 ms for it instead of 8 s. */
const CLOCK_RATE = 100;
const WAIT = { timeout: 20_000, interval: 5 };

/** The device of a SIM: the agent as it is shipped, with the handlers of vault-handlers.mjs. It can be started again. */
export function prepareVault(loopback: Loopback, address: string, keys: ConfigInput) {
  const folder = temporaryFolder();
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeScript('echo yes', bin, 'timedatectl');
  const runs = join(folder, 'runs');
  const socket = join(folder, 'control.sock');
  const config: ConfigInput = {
    gateway: { address: loopback.gateway.address, port: loopback.gateway.port },
    listen: { address, receiveBufferBytes: 262_144 },
    allow: ['127.0.0.0/8'],
    control: { socket },
    modules: [resolve('test/support/vault-handlers.mjs')],
    log: { level: 'info' },
    ...keys,
  };
  // JSON is YAML.
  const file = writeFile(folder, 'config.yaml', JSON.stringify(config));
  const env = environment({
    PATH: `${bin}:${process.env['PATH']}`,
    NODE_OPTIONS: `--import ${resolve('test/support/nonce-log.mjs')}`,
    CLOCK_RATE: String(CLOCK_RATE),
    CLOCK_START: `${Date.now()} ${Number(process.hrtime.bigint()) / 1e6}`,
    RUNS: runs,
  });
  const ask = controlClient(socket);
  let agent: Running | undefined;

  async function start(): Promise<void> {
    const started = startProcess(process.execPath, [program('supersim-agent'), 'run', '--config', file], env);
    // One that is stopped does not end when it is asked to.
    onTestFinished(() => started.kill('SIGKILL'));
    agent = started;
    await started.line(/"agent started"/);
  }

  return {
    start,
    signal: (name: NodeJS.Signals) => agent?.kill(name),
    /** Ends the agent, cleanly or not, and starts it again. */
    async restart(by: 'SIGTERM' | 'SIGKILL'): Promise<void> {
      agent?.kill(by);
      await agent?.ended;
      await start();
    },
    /** The handlers that ran, with their parameters. */
    runs: () => linesOf(runs),
    /** What the journal has. */
    journal: () => vi.waitFor(async () => (await ask('GET', '/commands', commandListSchema)).commands, WAIT),
    status: () => vi.waitFor(() => ask('GET', '/status', statusSchema), WAIT),
  };
}
