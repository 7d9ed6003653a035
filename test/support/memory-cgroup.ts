import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';

const VERSION_1 = '/sys/fs/cgroup/memory';
const VERSION_2 = '/sys/fs/cgroup';
const NAME = `supersim-test-${process.pid}`;

interface Parent {
  readonly folder: string;
  /** The files of a group that limit its memory, and memory and swap together. */
  readonly limits: readonly [memory: string, swap: string];
  /** What the second of them is set to. */
  readonly swap: 'same' | '0';
}

/** Where a group whose memory is limited can be made; in version 2, at the root, as only there is it always permitted. */
function findParent(): Parent {
  if (!existsSync(join(VERSION_1, 'cgroup.procs'))) {
    writeFileSync(join(VERSION_2, 'cgroup.subtree_control'), '+memory');
    return { folder: VERSION_2, limits: ['memory.max', 'memory.swap.max'], swap: '0' };
  }
  const own = /^\d+:(?:\S*,)?memory(?:,\S*)?:(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '';
  const folder = existsSync(join(VERSION_1, own)) ? join(VERSION_1, own) : VERSION_1;
  return { folder, limits: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'], swap: 'same' };
}

/** Whether groups can be made here. */
export function canLimitMemory(): boolean {
  try {
    rmdirSync(makeGroup(`${NAME}-tried`, 2 ** 30));
    return true;
  } catch {
    return false;
  }
}

function makeGroup(name: string, bytes: number): string {
  const { folder, limits, swap } = findParent();
  const group = join(folder, name);
  mkdirSync(group);
  const [memory, withSwap] = limits.map((file) => join(group, file));
  writeFileSync(memory ?? '', String(bytes));
  // Absent without swap.
  if (withSwap !== undefined && existsSync(withSwap)) writeFileSync(withSwap, swap === 'same' ? String(bytes) : swap);
  return group;
}

/**
 * Makes a control group whose processes have so much memory together, gone with the test. Needs a memory cgroup.
 *
 * @returns its folder; a process joins by writing its PID to `cgroup.procs`
 */
export function limitMemory(bytes: number): string {
  const group = makeGroup(NAME, bytes);
  // What was in it may still be ending.
  onTestFinished(() => vi.waitFor(() => rmdirSync(group), 10_000));
  return group;
}
