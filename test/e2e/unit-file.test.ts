import { expect, test } from 'vitest';
import { needs } from '../support/needs.js';
import { program, runProcess } from '../support/process.js';

test.skipIf(needs('root', 'unshare', 'systemd-analyze'))('systemd finds nothing wrong with the unit', async () => {
  // In a mount namespace of its own the program is where the unit expects it.
  const script = [
    'mount -t tmpfs tmpfs /usr/local/bin',
    `ln -s ${program('supersim-agent')} /usr/local/bin/supersim-agent`,
    'exec systemd-analyze verify systemd/supersim-agent.service',
  ].join(' && ');
  expect(await runProcess('unshare', ['--mount', 'sh', '-c', script])).toEqual({ code: 0, output: '' });
});
