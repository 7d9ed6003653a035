import { describe, expect, onTestFinished, test } from 'vitest';
import { openTty } from '../../../../loopback/modem/tty/pty.js';
import { watchTtyUsers } from '../../../../loopback/modem/tty/tty-users.js';
import { needs } from '../../../support/needs.js';
import { startProcess } from '../../../support/process.js';
import { inbox } from '../../support.js';
import { openPort } from '../port.js';

/** Opens a terminal of the path in a mount namespace with pseudo-terminals of its own, as a container has. */
const CONTAINER = `
import os, subprocess, sys, time
subprocess.run('mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts', shell=True, check=True)
subprocess.run('mount --bind /dev/pts/ptmx /dev/ptmx', shell=True, check=True)
held = [os.openpty()]
while os.ttyname(held[-1][1]) != sys.argv[1]: held.append(os.openpty())
print('open', flush=True)
time.sleep(60)
`;

async function watch() {
  const opened = inbox<readonly number[]>('processes that opened the terminal');
  const closed = inbox<'closed'>('closings of the terminal');
  const tty = await openTty({ onData: () => users.inputReceived(), onLost: () => undefined });
  const users = watchTtyUsers({
    path: tty.path,
    holder: tty.holder,
    onOpen: opened.push,
    onClose: () => closed.push('closed'),
    onUnread: () => undefined,
  });
  onTestFinished(async () => {
    users.close();
    await tty.close();
  });
  return { path: tty.path, opened, closed };
}

describe.skipIf(needs('node-pty'))('the users of a terminal', () => {
  test('are the processes that have it open, until the last one closes it', async () => {
    const { path, opened, closed } = await watch();
    const port = openPort(path);
    port.write(Buffer.from('AT\r'));
    expect(await opened.take()).toEqual([process.pid]);
    port.close();
    expect(await closed.take()).toBe('closed');
  });

  test.skipIf(needs('root', 'unshare', 'python3'))(
    'do not include a process in a container that has another terminal of the same path open',
    async () => {
      const { path, opened } = await watch();
      const container = startProcess('unshare', ['--mount', 'python3', '-c', CONTAINER, path]);
      await container.line(/^open$/);
      openPort(path).write(Buffer.from('AT\r'));
      expect(await opened.take()).toEqual([process.pid]);
    },
  );
});
