import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from './files.js';
import { type Running, startProcess } from './process.js';

/** A network of its own: a network namespace with one interface. */
export interface Host {
  /** Of its network namespace. */
  readonly name: string;
  /** Runs `ip` inside. */
  ip(...args: string[]): void;
  start(file: string, args: readonly string[], env?: NodeJS.ProcessEnv): Running;
  /** Leads to a port of the host's own 127.0.0.1, by a URL on ours: by files and pipes, not by any network. */
  reach(port: number): Promise<string>;
}

/**
 * Two hosts joined by a cable, gone with the test. Needs root and iproute2.
 *
 * @returns the two hosts; their interfaces are both called `wwan0`, and are up, without addresses
 */
export function twoHosts(): [Host, Host] {
  const [first, second] = [openHost('a'), openHost('b')];
  joinHosts(first, second, 'wwan0');
  return [first, second];
}

/** A host without a cable, gone with the test. Needs root and iproute2. */
export function openHost(side: string): Host {
  const name = `supersim-${process.pid}-${side}`;
  run('ip', 'netns', 'add', name);
  onTestFinished(() => run('ip', 'netns', 'delete', name));
  run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  return host(name);
}

/** Joins two hosts by a cable; its interfaces have the same name on both, and are up, without addresses. */
export function joinHosts(first: Host, second: Host, name: string): void {
  first.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', name, 'netns', second.name);
  for (const each of [first, second]) each.ip('link', 'set', name, 'up');
}

function host(name: string): Host {
  // `ip netns exec` becomes the program, so that its pid is the program's.
  const start: Host['start'] = (file, args, env) => startProcess('ip', ['netns', 'exec', name, file, ...args], env);
  return {
    name,
    ip: (...args) => run('ip', '-n', name, ...args),
    start,
    async reach(port) {
      const socket = join(temporaryFolder(), 'door');
      const door = start(process.execPath, [resolve('test', 'support', 'door.mjs'), socket, String(port)]);
      await door.line(/^open/);
      return openDoor(socket);
    },
  };
}

/** The near side of door.mjs. */
async function openDoor(socket: string): Promise<string> {
  const server = createServer((near) => {
    const far = connect(socket);
    near.pipe(far).pipe(near);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it listens nowhere');
  return `http://127.0.0.1:${address.port}`;
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
