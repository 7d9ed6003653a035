import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { networkInterfaces } from 'node:os';
import { lastCommitOf } from './history.js';
import { canLimitMemory } from './memory-cgroup.js';

/** The one that Debian's packages of Python modules are for. */
export const DEBIANS_PYTHON = '/usr/bin/python3';

/** The first one on the path may be a script that looks for others, which takes longer than most tests. */
export const PYTHON = existsSync(DEBIANS_PYTHON) ? DEBIANS_PYTHON : 'python3';

const onPath = (command: string) => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;

/** Whether a package is installed: some are optional. */
function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** Whether there is a C compiler, with the C library's headers: Debian's `gcc` comes without them. */
const canCompile = () => spawnSync('cc', ['-fsyntax-only', '-xc', '-'], { input: '#include <stdio.h>\n' }).status === 0;

/** The tools, rights and other things that a test may need, each with what tells whether this machine has it. */
const TOOLS = {
  root: () => process.getuid?.() === 0,
  ip: () => onPath('ip'),
  unshare: () => onPath('unshare'),
  mmdebstrap: () => onPath('mmdebstrap'),
  'memory cgroup': canLimitMemory,
  'mkfs.ext4': () => onPath('mkfs.ext4'),
  'loop devices': () => existsSync('/dev/loop-control'),
  udevadm: () => onPath('udevadm'),
  'dpkg-deb': () => onPath('dpkg-deb'),
  lintian: () => onPath('lintian'),
  man: () => onPath('man'),
  bash: () => onPath('bash'),
  'qemu-aarch64-static': () => onPath('qemu-aarch64-static'),
  'systemd-analyze': () => onPath('systemd-analyze'),
  'systemd-notify': () => onPath('systemd-notify'),
  python3: () => onPath('python3'),
  'python3-prometheus-client': () => spawnSync(DEBIANS_PYTHON, ['-c', 'import prometheus_client']).status === 0,
  nft: () => onPath('nft'),
  'iptables-save': () => onPath('iptables-save'),
  setpriv: () => onPath('setpriv'),
  curl: () => onPath('curl'),
  prlimit: () => onPath('prlimit'),
  'coap-client-notls': () => onPath('coap-client-notls'),
  tshark: () => onPath('tshark'),
  cc: canCompile,
  'history back to 0.1.0': () => lastCommitOf('0.1.0') !== undefined,
  'node-pty': () => isInstalled('@lydell/node-pty'),
  ipv6: () => Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1')),
} as const;

/**
 * Tells whether to skip a test because this machine lacks a tool that it needs, and prints which. With CI=true nothing
 * is skipped: the test runs, and fails.
 */
export function needs(...tools: (keyof typeof TOOLS)[]): boolean {
  if (process.env['CI'] === 'true') return false;
  const missing = tools.filter((tool) => !TOOLS[tool]());
  if (missing.length > 0) console.warn(`skipped: this machine lacks ${missing.join(', ')}`);
  return missing.length > 0;
}
