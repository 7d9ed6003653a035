import { expect, test } from 'vitest';
import { needs } from '../../support/needs.js';
import { program, runProcess } from '../../support/process.js';

const SERVICES = [
  'systemd/supersim-agent.service',
  'systemd/supersim-agent-reboot@.service',
  'systemd/supersim-agent-interface.service',
];

test.skipIf(needs('root', 'unshare', 'systemd-analyze'))('systemd-analyze verify accepts the units', async () => {
  // In a mount namespace of its own the program is where the unit expects it.
  const script = [
    'mount -t tmpfs tmpfs /usr/local/bin',
    `ln -s ${program('supersim-agent')} /usr/local/bin/supersim-agent`,
    `exec systemd-analyze verify ${SERVICES.join(' ')} systemd/supersim-agent-reboot.socket`,
  ].join(' && ');
  expect(await runProcess('unshare', ['--mount', 'sh', '-c', script])).toEqual({ code: 0, output: '' });
});

// As this machine's systemd counts; how Debian 13's does is seen where it runs.
test.skipIf(needs('systemd-analyze')).each(SERVICES)(
  '%s has an exposure of at most 2.0 by systemd-analyze security',
  async (service) => {
    const arguments_ = ['security', '--no-pager', '--offline=true', '--threshold=20', service];
    const { code, output } = await runProcess('systemd-analyze', arguments_);
    expect(output).toMatch(/Overall exposure level for .*: \d\.\d /);
    expect(code).toBe(0);
  },
);
