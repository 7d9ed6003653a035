import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { onTestFinished } from 'vitest';
import type { ConfigInput } from '../../../agent/config/schema.js';
import type { Endpoint } from '../../../agent/transport/endpoint.js';
import { environment } from '../../agent/cli/support.js';
import { linesOf } from '../../support/device.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { program, type Running, startProcess } from '../../support/process.js';
import { keyFileText } from '../../support/security.js';
import { randomAddress } from '../../support/udp.js';

/** How much faster the agent's wall clock runs: a reservation of numbers lasts 80 ms instead of 8 s. */
const CLOCK_RATE = 100;
const CLOCK_START = `${Date.now()} ${Number(process.hrtime.bigint()) / 1e6}`;
const PRELOAD = pathToFileURL(resolve('test/support/nonce-log.mjs')).href;

export const KIDS = [1, 2] as const;

export type GuardedDevice = ReturnType<typeof prepareGuardedDevice>;

/**
 * A device with two keys, whose agent is the program as it is shipped. Its encryptions and the runs of its handlers are
 * written down outside its state folder.
 */
export function prepareGuardedDevice() {
  const scratch = temporaryFolder();
  const endpoint: Endpoint = { address: randomAddress(), port: 5683 };
  const keys = makeFolder(scratch, 'keys');
  const log = makeFolder(scratch, 'nonces');
  const bin = makeFolder(scratch, 'bin');
  const state = join(scratch, 'state');
  const runs = join(scratch, 'runs');
  for (const kid of KIDS) writeFile(keys, `operator-${kid}.json`, keyFileText({ kid }));
  writeScript(`cat '${join(bin, 'answer')}'`, bin, 'timedatectl');
  const config: ConfigInput = {
    listen: { address: endpoint.address, ports: [endpoint.port], receiveBufferBytes: 262_144 },
    allow: ['127.0.0.0/8'],
    state: { folder: state },
    control: { socket: join(scratch, 'control.sock') },
    modules: [resolve('test/support/guarded-handlers.mjs')],
    security: { keys },
    log: { level: 'info' },
  };
  // JSON is YAML.
  const file = writeFile(scratch, 'config.yaml', JSON.stringify(config));
  const env = environment({
    PATH: `${bin}:${process.env['PATH']}`,
    NODE_OPTIONS: `--import ${PRELOAD}`,
    CLOCK_RATE: String(CLOCK_RATE),
    CLOCK_START,
    RUNS: runs,
  });
  let starts = 0;

  /** Starts the agent, and does not wait for it. */
  function launch(isSynchronized: boolean, extra: Record<string, string> = {}): Running {
    writeFileSync(join(bin, 'answer'), isSynchronized ? 'yes\n' : 'no\n');
    const args = [program('supersim-agent'), 'run', '--config', file];
    const agent = startProcess(process.execPath, args, { ...env, NONCE_LOG: logOf(++starts), ...extra });
    // It may hang without its folder.
    onTestFinished(() => agent.kill('SIGKILL'));
    return agent;
  }

  const logOf = (start: number): string => join(log, String(start));

  return {
    endpoint,
    state,
    launch,
    async start(isSynchronized: boolean, extra?: Record<string, string>): Promise<Running> {
      const agent = launch(isSynchronized, extra);
      await agent.line(/"agent started"/);
      return agent;
    },
    /** What the agent has encrypted since it was started last: lines `key nonce`. */
    lastNonces: () => linesOf(logOf(starts)),
    /** How often the handlers ran, by the number that they were given. */
    runs(): Map<number, number> {
      const counts = new Map<number, number>();
      for (const line of linesOf(runs)) counts.set(Number(line), (counts.get(Number(line)) ?? 0) + 1);
      return counts;
    },
  };
}

/** What is there more than once. */
export function twice(lines: readonly string[]): string[] {
  const seen = new Set<string>();
  return lines.filter((line) => seen.size === seen.add(line).size);
}

function makeFolder(parent: string, name: string): string {
  const folder = join(parent, name);
  mkdirSync(folder, { mode: 0o700 });
  return folder;
}
