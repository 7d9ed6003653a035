import { execFileSync } from 'node:child_process';
import { onTestFinished } from 'vitest';
import { type Running, startProcess } from './process.js';

/** A network of its own: a network namespace with one interface. */
export interface Host {
  /** Runs `ip` inside. */
  ip(...args: string[]): void;
  start(file: string, args: readonly string[], env?: NodeJS.ProcessEnv): Running;
}

/**
 * Two hosts joined by a cable, gone with the test. Needs root and iproute2.
 *
 * @returns the two hosts; their interfaces are both called `wwan0`, and are up, without addresses
 */
export function twoHosts(): [Host, Host] {
  const names = ['a', 'b'].map((side) => `supersim-${process.pid}-${side}`);
  onTestFinished(() => {
    for (const name of names) run('ip', 'netns', 'delete', name);
  });
  for (const name of names) {
    run('ip', 'netns', 'add', name);
    run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  }
  const [first = '', second = ''] = names;
  run('ip', '-n', first, 'link', 'add', 'wwan0', 'type', 'veth', 'peer', 'name', 'wwan0', 'netns', second);
  for (const name of names) run('ip', '-n', name, 'link', 'set', 'wwan0', 'up');
  return [host(first), host(second)];
}

const host = (name: string): Host => ({
  ip: (...args) => run('ip', '-n', name, ...args),
  // `ip netns exec` becomes the program, so that its pid is the program's.
  start: (file, args, env) => startProcess('ip', ['netns', 'exec', name, file, ...args], env),
});

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
