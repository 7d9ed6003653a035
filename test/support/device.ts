import { randomInt } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, vi } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { controlClient } from '../../agent/service/control/client.js';
import { commandListSchema, commandSchema, statusSchema } from '../../agent/service/control/schema.js';
import type { Endpoint } from '../../agent/transport/endpoint.js';
import { environment } from '../agent/cli/support.js';
import { openApiPeer } from './api-peer.js';
import type { Peer } from './caller.js';
import { temporaryFolder, writeFile } from './files.js';
import { program, type Running, runProcess, startProcess } from './process.js';
import { byModem, startTestLoopback } from './round-trip.js';
import type { StoryLink } from './story-links.js';
import { openPeer, randomAddress } from './udp.js';

const WAIT = { timeout: 20_000, interval: 5 };

export type Device = Awaited<ReturnType<typeof prepareDevice>>;

/** Where the device is, and who can command it there. */
interface Network {
  readonly config: ConfigInput;
  readonly endpoint: Endpoint;
  readonly join: () => Promise<Peer>;
}

async function openNetwork(link: StoryLink): Promise<Network> {
  const endpoint: Endpoint = { address: randomAddress(), port: 6969 };
  if (link === 'udp') {
    const gateway = await openPeer();
    const listen = { address: endpoint.address, receiveBufferBytes: 65_536 };
    return { endpoint, config: { listen, gateway: gateway.endpoint, allow: ['127.0.0.0/8'] }, join: () => openPeer() };
  }
  const loopback = await startTestLoopback({}, link);
  return { endpoint, config: byModem(loopback.modem), join: async () => openApiPeer(loopback) };
}

/**
 * A device whose agent is killed and started again: its address and what lies on its disk stay. The agent has the
 * handlers of device-handlers.mjs.
 */
export async function prepareDevice(config: ConfigInput = {}, link: StoryLink = 'udp') {
  const folder = temporaryFolder();
  const { endpoint, join: joinNetwork, ...network } = await openNetwork(link);
  const socket = join(folder, 'control.sock');
  const modules = [writeFile(folder, 'handlers.mjs', readFileSync(resolve('test/support/device-handlers.mjs')))];
  const complete: ConfigInput = {
    ...network.config,
    state: { folder },
    control: { socket },
    modules,
    ...config,
  };
  // JSON is YAML.
  const file = writeFile(folder, 'config.yaml', JSON.stringify(complete));
  const ask = controlClient(socket);
  const operator = await joinNetwork();

  /** @param bootId what this boot is called by the kernel, as far as the agent can see; needs root and unshare */
  function launch({ held = false, bootId }: { held?: boolean; bootId?: string } = {}): Running {
    const agent = [process.execPath, program('supersim-agent'), 'run', '--config', file];
    const [command = '', ...args] = bootId === undefined ? agent : inBoot(writeFile(folder, 'boot_id', bootId), agent);
    const running = startProcess(command, args, environment(held ? { HELD: '1' } : {}));
    // What is held does not end when it is asked to.
    onTestFinished(() => running.kill('SIGKILL'));
    return running;
  }

  async function show(id: number) {
    const args = [program('supersim-agent'), 'commands', 'show', String(id), '--socket', socket, '--json'];
    const { code, output } = await runProcess(process.execPath, args, environment());
    expect(code).toBe(0);
    return commandSchema.parse(JSON.parse(output));
  }

  const list = async () => (await ask('GET', '/commands', commandListSchema)).commands;

  return {
    folder,
    endpoint,
    /** One more who can command it. */
    openPeer: joinNetwork,
    /** Starts the agent, and does not wait for it. */
    launch,
    async start(how?: Parameters<typeof launch>[0]): Promise<Running> {
      const agent = launch(how);
      await agent.line(/"agent started"/);
      return agent;
    },
    /** As somebody at the device would, to its handlers that tell or stop something. */
    operate: (command: string) => operator.send(`#op ${command}`, endpoint),
    /** Waits until the agent has answered: all that it sent before has come where it was sent to. */
    async answers(): Promise<void> {
      const id = randomInt(2 ** 47);
      await operator.send(`#${id} ping`, endpoint);
      while (!(await operator.next()).bytes.toString().startsWith(`#${id} `));
    },
    /** The commands of the journal, newest first. */
    list: () => vi.waitFor(list, WAIT),
    /** Waits until the journal has, on the disk, a command of this name in this state. */
    journalled: (name: string, state: string) =>
      vi.waitFor(async () => expect(await list()).toContainEqual(expect.objectContaining({ name, state })), WAIT),
    /** Waits until so many commands wait for a place; what the journal has of them is on the disk then. */
    async waiting(count: number): Promise<void> {
      await vi.waitFor(
        async () => expect(await ask('GET', '/status', statusSchema)).toMatchObject({ waiting: count }),
        WAIT,
      );
      await list();
    },
    /** `supersim-agent commands show` of the newest command of a name; undefined where the journal has none. */
    async shown(name: string) {
      const newest = (await vi.waitFor(list, WAIT)).find((command) => command.name === name);
      return newest && show(newest.id);
    },
    /** How often the handlers ran, by the number that they were given. */
    runs(): Map<string, number> {
      const runs = new Map<string, number>();
      for (const line of linesOf(join(folder, 'runs'))) runs.set(line, (runs.get(line) ?? 0) + 1);
      return runs;
    },
    /** Has the agent find these datagrams all at once: they are read in one turn of its event loop. */
    async together(agent: Running, sends: readonly (() => Promise<void>)[]): Promise<void> {
      agent.kill('SIGSTOP');
      await vi.waitFor(() => expect(processState(agent.pid)).toBe('T'), WAIT);
      for (const send of sends) await send();
      // They are in its buffer when what was sent behind them is here.
      await operator.everythingSoFar();
      agent.kill('SIGCONT');
    },
  };
}

/** The lines of a file that may not be there yet. */
export const linesOf = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];

/** The command that runs another in a mount namespace of its own, with another boot id. Its pid is the other's. */
const inBoot = (bootIdFile: string, command: readonly string[]): string[] => [
  ...['unshare', '--mount', 'sh', '-c'],
  'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"',
  bootIdFile,
  ...command,
];

/** `T`: stopped; see proc_pid_stat(5). */
const processState = (pid: number) => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1];

/** Sends SIGKILL, and waits for the end. */
export async function kill(agent: Running): Promise<void> {
  agent.kill('SIGKILL');
  expect(await agent.ended).toBe('SIGKILL');
}
