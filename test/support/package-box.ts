import { expect } from 'vitest';
import { bootBox } from './systemd-box.js';

export const CONFIG = '/etc/supersim-agent/config.yaml';
export const SERVICE = 'supersim-agent.service';

/** A box to install the package in. */
export type PackageBox = Awaited<ReturnType<typeof bootPackageBox>>;

/** Boots a box that has a folder's packages, and nothing of them installed. */
export async function bootPackageBox(folder: string) {
  const box = await bootBox();
  await box.copy(folder, '/opt/packages');
  const dpkg = (...args: string[]) => box.done(['dpkg', ...args], { timeoutMs: 60_000 });
  const systemctl = async (...args: string[]) => (await box.run(['systemctl', ...args])).stdout.trim();
  return {
    ...box,
    dpkg,
    /** Installs a package by the name of its file; what the operator has changed stays. */
    install: (name: string) => dpkg('--force-confold', '--install', `/opt/packages/${name}.deb`),
    systemctl,
    /** A property of the service. */
    show: (property: string) => systemctl('show', '--value', `--property=${property}`, SERVICE),
    /** Waits until the agent answers. */
    started: () => expect.poll(() => box.run(['supersim-agent', 'status'])).toMatchObject({ code: 0 }),
    /** Whose files are, and their permissions: `root:root 644`, a line each. */
    permissions: (...files: string[]) => box.done(['stat', '--format=%U:%G %a', ...files]),
    /** The line that the agent logged at its last start. */
    lastStart: async () => (await box.journal(SERVICE)).findLast((line) => line.includes('agent started')),
  };
}
